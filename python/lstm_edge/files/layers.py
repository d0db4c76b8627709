"""Recurrent layers of any library, named and ordered as PyTorch does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.extras import MissingExtra, load

Array = NDArray[Any]

_EMBEDDING = re.compile(r"[Ee]mbed|(?<![A-Za-z])emb|Emb|EMB")


@dataclass(frozen=True)
class RecurrentLayer:
    """One layer in PyTorch's layout and gate order, i, f, g, o or r, z, n.

    Attributes
    ----------
    name : str
    arrays : dict of str to ndarray
        ``weight_ih`` (G * H, I), ``weight_hh`` (G * H, H), and ``bias_ih`` and
        ``bias_hh`` (G * H,) where there are biases.
    below : str or None
        Name of the layer whose hidden states it reads, where it reads one's.
    direction : {None, "", "_reverse"}
        Of a bidirectional layer, as at the end of PyTorch's names.
    said : dict of str to str
        What the arrays leave open: ``reset_after``, ``nonlinearity``, ``activation``,
        ``recurrent_activation``.
    assumed : str
        What of it is a guess, in a sentence.
    below_is_guessed : bool
        Whether `below` is, from the names.
    """

    name: str
    arrays: Mapping[str, Array]
    below: str | None = None
    direction: str | None = None
    said: Mapping[str, str] = field(default_factory=dict)
    assumed: str = ""
    below_is_guessed: bool = False

    def continues(self, other: RecurrentLayer) -> bool:
        """Whether it is the next layer of one net with `other`."""
        hidden = other.arrays["weight_hh"].shape[1]
        return (
            self.below == other.name
            and self.direction is None is other.direction
            and self.said == other.said
            and self.arrays.keys() == other.arrays.keys()
            and self.arrays["weight_ih"].shape[1] == hidden
            and _gates(self) == _gates(other)
        )


def _gates(layer: RecurrentLayer) -> int:
    rows, hidden = layer.arrays["weight_hh"].shape
    return int(rows // hidden)


def name_layers(
    layers: Iterable[RecurrentLayer],
) -> tuple[dict[str, Array], dict[str, str]]:
    """Name the tensors; layers of one cell that read one another are one module.

    Returns
    -------
    tensors : dict of str to ndarray
        ``first.weight_ih_l0``, ...: a module has the name of its lowest layer.
    said : dict of str to str
        ``first.reset_after``, ..., and ``first.assumed``: what is a guess.
    """
    given = list(layers)
    below_of = {layer.name: layer.below for layer in given}

    def depth(layer: RecurrentLayer) -> int:
        name, steps = layer.below, 0
        while name in below_of and steps < len(given):
            name, steps = below_of[name], steps + 1
        return steps

    stacks: list[list[RecurrentLayer]] = []
    for layer in sorted(given, key=depth):
        below = next((s for s in stacks if layer.continues(s[-1])), None)
        if below is None:
            stacks.append([layer])
        else:
            below.append(layer)
    tensors = {
        f"{stack[0].name}.{kind}_l{index}{layer.direction or ''}": array
        for stack in stacks
        for index, layer in enumerate(stack)
        for kind, array in layer.arrays.items()
    }
    said = {
        f"{stack[0].name}.{name}": text
        for stack in stacks
        for name, text in stack[0].said.items()
    }
    for stack in stacks:
        assumed = [layer.assumed for layer in stack if layer.assumed]
        if any(layer.below_is_guessed for layer in stack[1:]):
            names = ", ".join(layer.name for layer in stack)
            assumed.append(
                f"{names} are taken as layers upon one another, by their names; to "
                f"take one alone: --module '{stack[0].name} (layer 0)'"
            )
        if assumed:
            said[f"{stack[0].name}.assumed"] = "; ".join(assumed)
    return tensors, said


def names_embedding(name: str) -> bool:
    """Whether a name is one of an embedding; "ensemble" and "member" are none."""
    return _EMBEDDING.search(name) is not None


def embedding_tensor(stem: str) -> str:
    """Name the table of a layer that is known to be an embedding."""
    inner = "" if names_embedding(stem) else ".embedding"
    return f"{stem}{inner}.weight"


def guess_below(names: Iterable[str]) -> dict[str, str]:
    """Take names that differ in a number alone as layers upon one another.

    For files that do not say what reads what: ``lstm``, ``lstm_1`` and ``cell_0``,
    ``cell_1`` are nets of two layers, where the sizes fit.

    Returns
    -------
    dict of str to str
        Layer to the one below it.
    """
    last: dict[str, str] = {}
    below: dict[str, str] = {}
    for name in sorted(names, key=_natural):
        stem = re.sub(r"_?\d+", "", name)
        if stem in last:
            below[name] = last[stem]
        last[stem] = name
    return below


def _natural(name: str) -> list[tuple[str, int]]:
    return [(s, int(n or -1)) for s, n in re.findall(r"(\D+)(\d{1,18})?", name)]


def reorder(array: Array, order: Sequence[int]) -> Array:
    """Bring the blocks of rows of the gates into another order."""
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[i] for i in order])


def widen(bfloat16: bytes, shape: Sequence[int]) -> Array:
    """Turn the bytes of bfloat16 numbers, the upper half of a float32, into those."""
    upper = np.frombuffer(bfloat16, "<u2").astype(np.uint32) << 16
    return upper.view(np.float32).reshape(shape)


def library(source: str, extra: str, name: str) -> Any:
    """Import the library that reads the file `source`.

    Raises
    ------
    CheckpointError
        If it is missing; it says which extra to install.
    """
    try:
        return load(extra, name)
    except MissingExtra as error:
        raise CheckpointError(f"{source}: {error}") from None
