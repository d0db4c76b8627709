"""Files that torch.save wrote, read without PyTorch and without unpickling.

A pickle is a program, and PyTorch's own reader of tensors only can be made to run code
(CVE-2025-32434, before 2.6), to corrupt memory (CVE-2026-24747, before 2.10) or to
overflow the C stack. Here each instruction builds a number, a text, a list, a
dictionary, a `Tensor`, or an `Opaque` with the name of what the file would call:
nothing is looked up and nothing is called. Whole modules, also those of TorchScript,
are such objects, and hold their tensors by name.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

_KINDS = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "u2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
    "ComplexDouble": "c16",
    "ComplexFloat": "c8",
    "QInt32": "i4",
    "QInt8": "i1",
    "QUInt8": "u1",
}
"""PyTorch's name of a storage's type to numpy's."""

MOST_STEPS = 2**20
"""Instructions of a pickle: some ten a tensor; each takes up to 80 bytes."""

MOST_BYTES = 2**24
"""Of a pickle, without the tensors: there can be the texts of a vocabulary in it."""

_LEGACY = (0x1950A86A20F9469CFC6C, 1001)
"""The numbers at the beginning of a file of PyTorch before 1.6."""


class ForeignObject(ValueError):
    """A tensor of a kind that is not read; its text is the name of what makes it."""


class Opaque(dict[Any, Any]):
    """A Python object that is not made: the name of its class, its state by name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


@dataclass(frozen=True)
class Tensor:
    """A tensor as the pickle describes it; its values are not read yet.

    Attributes
    ----------
    kind : str
        Key of `_KINDS`.
    key : str
        Of its storage, which other tensors may share.
    numel : int
        Values in the whole storage.
    offset, shape, strides
        Which of them are the tensor's, counted in values.
    """

    kind: str
    key: str
    numel: int
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return np.dtype(_KINDS[self.kind])

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def storage_bytes(self) -> int:
        """Bytes of the whole storage."""
        return self.numel * self.dtype.itemsize

    def of(self, storage: bytes | memoryview, order: Literal["<", ">"]) -> NDArray[Any]:
        """Give the values that lie in a storage, in byte order "<" or ">"."""
        width = self.dtype.itemsize
        steps = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        past = self.offset + (sum(steps) + 1 if 0 not in self.shape else 0)
        # numpy asks this too, but its product of size and stride can overflow
        if not past * width <= len(storage) == self.storage_bytes:
            raise ValueError(f"storage {self.key} has not the size that is said")
        array: NDArray[Any] = np.ndarray(
            self.shape,
            self.dtype.newbyteorder(order),
            storage,
            self.offset * width,
            [stride * width for stride in self.strides],
        )
        if self.kind != "BFloat16":
            return array
        return (array.astype(np.uint32) << 16).view(np.float32)  # its upper half


class Contents:
    """What a file holds.

    Attributes
    ----------
    saved : object
        What was given to torch.save, with a `Tensor` for each tensor.
    foreign : list of str
        Names of the objects that it holds and that are not made.

    Parameters
    ----------
    built : _Machine
        Behind the last instruction.
    read : callable
        Gives the bytes of the storage with a key.
    order : {"<", ">"}
        Byte order.
    """

    def __init__(
        self,
        built: _Machine,
        read: Callable[[str], bytes | memoryview],
        order: Literal["<", ">"] = "<",
    ) -> None:
        self.saved = built.stack[-1]
        self.foreign = built.foreign
        self._storage = cache(read)
        self._order = order

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """Read the values of a tensor; tensors that share a storage share memory."""
        return tensor.of(self._storage(tensor.key), self._order)


def read_zip(names: Sequence[str], read: Callable[[str], bytes]) -> Contents:
    """Read a file of PyTorch 1.6 or later: an archive of some names."""
    pickles = [name for name in names if f"/{name}".endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"expected one data.pkl in it, found {len(pickles)}")
    root = pickles[0].removesuffix("data.pkl")
    built = _follow(io.BytesIO(read(pickles[0])))
    big = f"{root}byteorder" in names and read(f"{root}byteorder") == b"big"
    return Contents(built, lambda key: read(f"{root}data/{key}"), ">" if big else "<")


def read_legacy(data: bytes) -> Contents:
    """Read a file of PyTorch before 1.6: pickles, then the storages in one row."""
    file = io.BytesIO(data)
    if (_follow(file).stack[-1], _follow(file).stack[-1]) != _LEGACY:
        raise ValueError("torch.save did not write it")
    _follow(file)  # of the machine that wrote it
    built = _follow(file)
    named, storages = built.storages, {}
    for key in _follow(file).stack[-1]:
        numel = int.from_bytes(file.read(8), "little")
        if key not in named or named[key].numel != numel:
            raise ValueError(f"storage {key} has not the size that is said")
        begin, size = file.tell(), named[key].storage_bytes
        storages[key] = memoryview(data)[begin : begin + size]
        file.seek(begin + size)
    return Contents(built, storages.__getitem__)


def _follow(file: IO[bytes]) -> _Machine:
    """Follow a pickle to its end, where what it builds is the last on the stack."""
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
    return machine


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
        if kind not in _KINDS:
            raise ValueError(f"values of type {name}, which numpy lacks")
        self.storages[key] = Tensor(kind, key, _size(numel))
        self.push(self.storages[key])


def _view(
    storage: Tensor,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> Tensor:
    return replace(
        storage,
        offset=_size(offset),
        shape=tuple(map(_size, shape)),
        strides=tuple(map(_size, strides)),
    )


def _size(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("a size that is none")
    return number


def _ordered(pairs: Sequence[Sequence[Any]] = ()) -> dict[str, Any]:
    return {pair[0]: pair[1] for pair in pairs if type(pair[0]) is str}


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_qtensor": _view,
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
