"""Nets written by hand, where each gate has arrays of its own.

============================== =================================================
names, for each gate a         computes
============================== =================================================
``W_a``, ``U_a``, ``b_a``      W x + U h + b; also ``U_a`` beside ``V_a`` [1]_
``W_xa``, ``W_ha``, ``b_a``    W_x x + W_h h + b; also ``W_ia``
``W_a``, ``b_a``               W (h, x) + b [2]_
============================== =================================================

with or without the underscore, as arrays or as linear layers. The letters of the gates
are i (or u), f, c (or g), o of an LSTM; z (or u), r, h (or n, c, g) of a GRU; h alone
of an RNN. `W_y`, `W_hy` or `W_hq` with its bias is the readout.

References
----------
.. [1] P. Esposito, Building a LSTM by hand on PyTorch, 2020.
.. [2] C. Olah, Understanding LSTM Networks, 2015.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lstm_edge.files.guard import Tensors
from lstm_edge.net.effective import numbers

_PART = re.compile(
    r"(?P<prefix>|.*?[^A-Za-z0-9])(?P<kind>[WUVRb])_?(?P<source>[xihuv]?)_?"
    r"(?P<gate>[ifcgozruhnyq])(?P<end>\.weight|\.bias)?",
    re.IGNORECASE,
)
_LETTERS = (("i", "u"), ("f",), ("c", "g"), ("o",)), (("r",), ("z", "u"), tuple("hncg"))
"""Of the gates of an LSTM and of a GRU, in PyTorch's order."""

_PAIRS = (("wx", "wh"), ("wi", "wh"), ("w", "u"), ("w", "v"), ("w", "r"), ("u", "v"))
"""Letters of the matrices of the inputs and of the state."""


@dataclass
class _Found:
    """The parts behind one prefix: tensors' names by letters and gate."""

    matrices: dict[tuple[str, str], str] = field(default_factory=dict)
    biases: dict[tuple[str, str], str] = field(default_factory=dict)

    def gates(self, letters: str) -> set[str]:
        return {gate for kind, gate in self.matrices if kind == letters}


def join_gates(tensors: Tensors) -> tuple[Tensors, dict[str, str]]:
    """Stack the arrays of the gates under PyTorch's names.

    Returns
    -------
    tensors : dict of str to ndarray
        As given, where there are no such arrays, or where they do not fit.
    said : dict of str to str
        ``prefix.assumed`` and ``prefix.reset_after``: what is a guess.
    """
    joined = dict(tensors)
    said: dict[str, str] = {}
    for prefix, found in _parts(tensors).items():
        made = _join(tensors, found)
        if made is None:
            continue
        arrays, about, used = made
        for name in used:
            del joined[name]
        module = prefix.rstrip("./_")
        begin = f"{module}." if module else ""
        joined |= {f"{begin}{name}": array for name, array in arrays.items()}
        said |= {f"{module}.{name}": text for name, text in about.items()}
    return joined, said


def _parts(tensors: Tensors) -> dict[str, _Found]:
    parts: dict[str, _Found] = {}
    for name in tensors:
        match = _PART.fullmatch(name)
        if match is None:
            continue
        found = parts.setdefault(match["prefix"], _Found())
        letters, gate = (match["kind"] + match["source"]).lower(), match["gate"].lower()
        is_bias = letters[0] == "b" or match["end"] == ".bias"
        (found.biases if is_bias else found.matrices)[letters, gate] = name
    return parts


def _order(gates: set[str]) -> tuple[str, ...]:
    """Give the letters of the gates in PyTorch's order; none where they are no cell."""
    if gates == {"h"}:
        return ("h",)
    for cell in _LETTERS:
        order = [next((a for a in letters if a in gates), "") for letters in cell]
        if all(order) and len(gates) == len(order) == len(set(order)):
            return tuple(order)
    return ()


def _join(
    tensors: Tensors, found: _Found
) -> tuple[dict[str, NDArray[np.floating]], dict[str, str], list[str]] | None:
    """Stack the gates of one net: its tensors, what is a guess, and what is used."""
    pairs = (p for p in (*_PAIRS, ("w", "")) if all(found.gates(k) for k in p if k))
    for kinds in pairs:
        order = _order(found.gates(kinds[0]) - set("yq"))
        if order and (not kinds[1] or set(order) <= found.gates(kinds[1])):
            break
    else:
        return None
    names = [[found.matrices[kind, a] for a in order] for kind in kinds if kind]
    matrices = [[numbers(tensors[name]) for name in row] for row in names]
    if kinds == ("wi", "wh") and len(order) == 1:
        return None  # PyTorch's own names, shortened
    if any(m.ndim != 2 or m.shape != row[0].shape for row in matrices for m in row):
        return None
    linear = names[0][0].endswith(".weight")
    stacked = _split(matrices, linear)
    if stacked is None:
        return None
    weight_ih, weight_hh, guess = stacked
    hidden = weight_hh.shape[1]
    arrays = {"weight_ih": weight_ih, "weight_hh": weight_hh}
    used = [name for row in names for name in row]
    biases = _biases(tensors, found, kinds[1], order, hidden)
    if biases is None:
        return None
    added, more = biases
    readout, named = _readout(tensors, found, hidden)
    return arrays | added | readout, _about(names, order, guess), used + more + named


def _split(
    matrices: list[list[NDArray[np.floating]]], linear: bool
) -> tuple[NDArray[np.floating], NDArray[np.floating], str] | None:
    """Tell rows from columns: units are rows of PyTorch's; and inputs from states."""
    first, last = matrices[0][0].shape, matrices[-1][0].shape
    hidden = min(first) if len(matrices) == 1 else last[0]
    if hidden not in first or (len(matrices) == 2 and last != (hidden, hidden)):
        return None
    guess = ""
    square = first[0] == first[1]
    if square and len(matrices) == 1:
        return None
    if square and not linear:
        guess = "their rows are taken as the units, though these may be the columns"
    if first[0] != hidden:
        matrices = [[matrix.T for matrix in row] for row in matrices]
    whole = [np.concatenate(row) for row in matrices]
    if len(whole) == 2:
        return whole[0], whole[1], guess
    guess = "their columns are taken as those of the state, then those of the inputs"
    return whole[0][:, hidden:], whole[0][:, :hidden], guess


def _biases(
    tensors: Tensors, found: _Found, inner: str, order: tuple[str, ...], hidden: int
) -> tuple[dict[str, NDArray[np.floating]], list[str]] | None:
    """Stack the biases of the inputs and of the state, whose letters are `inner`.

    One that names neither is of the inputs. None where they do not fit.
    """
    of_state = {inner, f"b{inner[-1:]}"} if inner else set()
    given = {(k, a): name for (k, a), name in found.biases.items() if a in order}
    if any(numbers(tensors[name]).size != hidden for name in given.values()):
        return None
    stacked = {}
    for kind, there in (("bias_ih", False), ("bias_hh", True)):
        rows = []
        for gate in order:
            own = [
                n for (k, a), n in given.items() if (k in of_state, a) == (there, gate)
            ]
            if len(own) > 1:
                return None
            rows += [numbers(tensors[name]).reshape(hidden) for name in own]
            rows += [np.zeros(hidden, np.float32)] * (1 - len(own))
        stacked[kind] = np.concatenate(rows)
    return (stacked if given else {}), list(given.values())


def _readout(
    tensors: Tensors, found: _Found, hidden: int
) -> tuple[dict[str, NDArray[np.floating]], list[str]]:
    named = [(g, n) for (k, g), n in found.matrices.items() if g in "yq" and k != "wx"]
    if len(named) != 1:
        return {}, []
    gate, name = named[0]
    weight = numbers(tensors[name])
    if weight.ndim != 2 or hidden not in weight.shape:
        return {}, []
    weight = weight if weight.shape[1] == hidden else weight.T
    biases = [n for (_, a), n in found.biases.items() if a == gate]
    if len(biases) != 1 or numbers(tensors[biases[0]]).size != len(weight):
        return {"readout.weight": weight}, [name]
    bias = numbers(tensors[biases[0]]).reshape(len(weight))
    return {"readout.weight": weight, "readout.bias": bias}, [name, *biases]


def _about(
    names: list[list[str]], order: tuple[str, ...], guess: str
) -> dict[str, str]:
    shown = " and ".join(row[0] for row in names)
    assumed = [f"the cell is told by the names {shown} and their like"]
    said = {}
    if len(order) > 1:
        assumed.append("its functions are taken to be tanh, and sigmoid of the gates")
    if len(order) == 3:
        after = order[2] == "n"  # PyTorch's letter
        said["reset_after"] = str(after).lower()
        assumed.append(
            f"the reset is taken to come {'after' if after else 'before'} the product, "
            f"and {order[1]} to be the share of the old state; where it is that of the "
            f"new one, negate its arrays"
        )
    if guess:
        assumed.append(guess)
    return {**said, "assumed": "; ".join(assumed)}
