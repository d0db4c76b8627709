"""Pickles of PyTorch followed without unpickling.

A pickle is a program, and PyTorch's own reader of tensors only can be made to run code
(CVE-2025-32434, before 2.6), to corrupt memory (CVE-2026-24747, before 2.10) or to
overflow the C stack. Here each instruction builds a number, a text, a list, a
dictionary, a `Tensor`, or an `Opaque` with the name of what the file would call:
nothing is looked up and nothing is called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from lstm_edge.files.torch_tensor import KINDS, Tensor, size

MOST_STEPS = 2**20
"""Instructions of a pickle: some ten a tensor; each takes up to 80 bytes."""

MOST_BYTES = 2**24
"""Of a pickle, without the tensors: there can be the texts of a vocabulary in it."""


class ForeignObject(ValueError):
    """A tensor of a kind that is not read; its text is the name of what makes it."""


class Opaque(dict[Any, Any]):
    """A Python object that is not made: the name of its class, its state by name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


@dataclass(frozen=True)
class Followed:
    """What a pickle builds.

    Attributes
    ----------
    built : object
        With a `Tensor` for each tensor.
    storages : dict of str to Tensor
        By their keys.
    foreign : list of str
        Names of the objects in it that are not made.
    """

    built: Any
    storages: dict[str, Tensor]
    foreign: list[str]


def follow(file: IO[bytes]) -> Followed:
    """Follow a pickle to its end.

    Raises
    ------
    ValueError
        An instruction that is not followed, or one that cannot be.
    """
    machine, begin = _Machine(), file.tell()
    for step, (instruction, value, place) in enumerate(pickletools.genops(file)):
        if place is None or place > begin + MOST_BYTES or step > MOST_STEPS:
            raise ValueError(
                f"a pickle of more than {MOST_BYTES} bytes or {MOST_STEPS} instructions"
            )
        if instruction.name not in _STEPS:
            raise ValueError(f"instruction {instruction.name} is not followed")
        _STEPS[instruction.name](machine, value)
    if not machine.stack:
        raise ValueError("a pickle of nothing")
    return Followed(machine.stack[-1], machine.storages, machine.foreign)


class _Name(str):
    """Name of a Python object, which is never looked up."""

    __slots__ = ()


class _Machine:
    """The stack that a pickle works on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Tensor] = {}
        self.foreign: list[str] = []

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def take(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("an instruction without its operands")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def since_mark(self) -> list[Any]:
        return self.take(max(0, len(self.stack) - self.marks.pop()))

    def remember(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)
        elif type(self.stack[-1]) is not Opaque:
            raise ValueError("items for what is no list")

    def set(self, items: list[Any]) -> None:
        if type(self.stack[-1]) not in (dict, Opaque) or len(items) % 2:
            raise ValueError("items for what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # others take endless time to be compared, or the whole C stack
            if type(key) is str or (type(key) is int and abs(key) < 2**31):
                self.stack[-1][key] = value

    def name(self, parts: list[str]) -> None:
        self.push(_Name(".".join(parts)))

    def call(self, count: int = 2) -> None:
        called, *arguments = self.take(count)
        if type(called) is _Name and called in _CALLS and count == 2:
            self.push(_CALLS[called](*arguments[0]))
            return
        given = arguments[0] if type(arguments[0]) is tuple else ()
        if type(called) is _Name and called in _OF_A_CLASS and given:
            called = given[0]
        self.opaque(called if type(called) is _Name else type(called).__name__)

    def opaque(self, name: str) -> None:
        if name.startswith(_OTHER_TENSORS):
            raise ForeignObject(name)
        if len(self.foreign) < _MOST_NAMES and name not in self.foreign:
            self.foreign.append(name)
        self.push(Opaque(name))

    def build(self) -> None:
        """Set attributes; those of an ordered dictionary are not needed."""
        state, built = self.stack.pop(), self.stack[-1]
        if type(built) not in (dict, Opaque):
            raise ForeignObject(type(built).__name__)
        if type(built) is Opaque:
            for part in state if type(state) is tuple else (state,):
                if isinstance(part, dict) and part is not built:
                    built.update(part)

    def storage(self) -> None:
        what, name, *described = self.stack.pop()
        if what == "module":  # a class, beside its source
            self.push(name)
            return
        key, _, numel, *part = described
        if type(name) is not _Name or type(key) is not str or any(part):
            raise ValueError("a storage that is described wrongly")
        kind = name.rpartition(".")[2].removesuffix("Storage")
        if kind not in KINDS:
            raise ValueError(f"values of type {name}, which numpy lacks")
        self.storages[key] = Tensor(kind, key, size(numel))
        self.push(self.storages[key])


def _ordered(pairs: Sequence[Sequence[Any]] = ()) -> dict[str, Any]:
    return {pair[0]: pair[1] for pair in pairs if type(pair[0]) is str}


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": Tensor.view,
    "torch._utils._rebuild_tensor_v2": Tensor.view,
    "torch._utils._rebuild_qtensor": Tensor.view,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": lambda sizes: sizes,
    "torch.device": lambda *_: None,
}
"""All that a file may call."""

_OF_A_CLASS = ("copyreg._reconstructor", "copy_reg._reconstructor")
"""Calls that make an object of the class that they are given."""

_OTHER_TENSORS = ("torch._utils._rebuild", "torch.serialization.")
"""Makers of tensors that have no dense values, or none at all."""

_MOST_NAMES = 20
"""Names of foreign objects that are kept apart."""

_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(
        (
            *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
            *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
            *("BINSTRING", "SHORT_BINSTRING"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        ),
        _Machine.push,
    ),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(Opaque("set")),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.take(3))),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.push(
        Opaque(f"frozenset of {len(machine.since_mark())}")
    ),
    "ADDITEMS": lambda machine, _: machine.append(machine.since_mark()),
    "POP": lambda machine, _: machine.take(1),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.set(machine.since_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember,
    "BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "GLOBAL": lambda machine, name: machine.name(name.split(" ")),
    "STACK_GLOBAL": lambda machine, _: machine.name(machine.take(2)),
    "BINPERSID": lambda machine, _: machine.storage(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "NEWOBJ_EX": lambda machine, _: machine.call(3),
    "BUILD": lambda machine, _: machine.build(),
}
"""All instructions that are followed."""
