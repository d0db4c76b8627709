"""Recurrent modules among named tensors: which there are, and which one is meant.

A module is named by the prefix of its tensors. What a prefix leaves open stands in
brackets behind it: ``"lstm (forward)"``, ``"lstm (backward, layer 1)"``,
``"rnn (relu)"``, ``"lstm (relu, gates hard_sigmoid)"``, ``"gru (reset before)"``, or
the one layer to take, ``"lstm (layer 1)"``. ``"lstm1, lstm2"`` are layers of one net,
the first the lowest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.net.weights import CELLS, FUNCTIONS, USUAL

Tensors = Mapping[str, Any]
"""Tensor name to numpy array or torch tensor."""

_RECURRENT = re.compile(
    r"(?P<prefix>.*?)(?:(?:weight|(?<![A-Za-z0-9])[wW])_(?P<weight>ih|hh|hr)"
    r"|(?:bias|(?<![A-Za-z0-9])[bB])_(?P<bias>ih|hh))"
    r"(?:_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?)?"
)
_SHORT = re.compile(r"(?<![A-Za-z0-9])[wW]_(ih|hh|hr)")
_CHOICES = {
    **{function: ("activation", function) for function in FUNCTIONS},
    **{
        f"gates {function}": ("recurrent_activation", function)
        for function in FUNCTIONS
    },
    "reset before": ("reset_after", "false"),
}
"""What can stand in brackets, to what it says of the cell."""

# Parameters beside W and b that change the formulas of a cell.
_FOREIGN = {
    r"peep|(weight|w)_c[ifo]|(weight|w)_[ifo]c|w_[ifo]_diag": "peepholes",
    r"norm|(^|[._])ln(_|\d|[ih]?[._])": "layer normalisation",
}


@dataclass(frozen=True)
class Module:
    """A recurrent module.

    Attributes
    ----------
    prefix : str
        What its tensors' names begin with, without the last dot.
    places : tuple of str
        Of a bidirectional net: direction, and layer where there are several.
    names : dict of (str, int) to str
        Kind and layer to the tensor's name.
    chosen : dict of str to str
        What the user says of its cell: activation, recurrent_activation, reset_after.
    """

    prefix: str
    places: tuple[str, ...] = ()
    names: dict[tuple[str, int], str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name that chooses it."""
        places = f"({', '.join(self.places)})" if self.places else ""
        return f"{self.prefix} {places}".strip()

    @property
    def named_shortly(self) -> bool:
        """Whether its tensors are named w_ih and the like, which PyTorch does not."""
        return any(_SHORT.search(name) for name in self.names.values())

    def cell(self, gates: int, metadata: Mapping[str, str]) -> str | None:
        """Tell the cell of `gates` rows a unit; None where there is none."""
        if "reset_after" in self.chosen and gates != CELLS["gru"]:
            return None
        if "recurrent_activation" in self.chosen and gates == 1:
            return None
        if gates == 1:
            return f"rnn_{self.function(metadata) or 'tanh'}"
        if gates == CELLS["gru"] and self.said("reset_after", metadata) in (
            "false",
            "0",
        ):
            return "gru_reset_before"
        return next((cell for cell, rows in CELLS.items() if rows == gates), None)

    def function(self, metadata: Mapping[str, str]) -> str:
        """Tell the function of an RNN, which PyTorch calls nonlinearity; "" if none."""
        word = self.chosen.get("activation")
        return word or self.said("nonlinearity", metadata)

    def functions(self, metadata: Mapping[str, str]) -> tuple[str, str]:
        """Tell the functions of the state and of the gates of an LSTM or a GRU."""
        return (
            self.said("activation", metadata) or USUAL[0],
            self.said("recurrent_activation", metadata) or USUAL[1],
        )

    def said(self, what: str, metadata: Mapping[str, str]) -> str:
        """Tell what the user, or the metadata, says of the cell; "" for nothing.

        The user decides first, then what the metadata says behind the prefix; what it
        says of ``nonlinearity`` and ``reset_after`` alone is of every module.

        Raises
        ------
        CheckpointError
            Modules that are joined, of which the metadata says different things.
        """
        alone = "" if what.endswith("activation") else metadata.get(what, "")
        parts = self.prefix.split(",")
        said = {metadata.get(f"{part}.{what}", alone).lower() for part in parts}
        if what in self.chosen:
            said = {self.chosen[what]}
        if len(said) > 1:
            raise CheckpointError(
                f"{self}: expected layers of one kind, found {what} "
                f"{' and '.join(sorted(word or 'unsaid' for word in said))}"
            )
        return said.pop()


def pick_module(tensors: Tensors, source: str, wanted: str | None) -> Module:
    """Find the one recurrent module that is meant.

    Raises
    ------
    CheckpointError
        If there is none, or more than one; or one whose formulas are others.
    """
    modules = list_modules(tensors)
    if not modules:
        shown = ", ".join(list(tensors)[:5]) or "no tensor"
        raise CheckpointError(
            f"{source}: no LSTM, GRU or RNN found; expected tensors named "
            "weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 behind any prefix, "
            f"found {shown}; where the net has other names, save it under these, with "
            "the gates in the order i, f, g, o (LSTM) or r, z, n (GRU)"
        )
    prefix, _, inside = (wanted or "").partition("(")
    if "," in prefix:
        brackets = f" ({inside}" if inside else ""
        parts = [part.strip() + brackets for part in prefix.split(",")]
        return _stacked([pick_module(tensors, source, part) for part in parts])
    prefix = prefix.strip()
    choices = {choice.strip() for choice in inside.rstrip(") ").split(",")} - {""}
    chosen = dict(_CHOICES[choice] for choice in choices & _CHOICES.keys())
    places = choices - _CHOICES.keys()
    if len(chosen) < len(choices) - len(places):
        raise CheckpointError(
            f"{source}: module: expected one function of the state and one of the "
            f"gates, found {' and '.join(sorted(choices - places))}"
        )
    found = [
        module
        for module in [
            *modules,
            *(layer for m in modules for layer in _single(m, places)),
        ]
        if (not prefix or f".{module.prefix}".endswith(f".{prefix}"))
        and places <= set(module.places)
    ]
    if wanted is not None:  # "lstm" is that one, and not also "encoder.lstm"
        found = [module for module in found if module.prefix == prefix] or found
    if len(found) != 1:
        named = "" if wanted is None else f" named {wanted!r}"
        listed = ", ".join(repr(str(module)) for module in modules)
        both = (
            " (each direction of a bidirectional net is a map of its own)"
            if any(module.places for module in found)
            else ""
        )
        raise CheckpointError(
            f"{source}: expected one recurrent module{named}, found {len(found)}{both}"
            f"; choose with module= (--module), one of: {listed}"
        )
    _refuse_foreign(tensors, found[0], source)
    return replace(found[0], chosen=chosen)


def _single(module: Module, places: set[str]) -> list[Module]:
    """Give each layer of a module alone, where the user asks for a layer."""
    if module.places or not any(place.startswith("layer ") for place in places):
        return []
    layers = sorted({layer for _, layer in module.names})
    return [
        Module(
            module.prefix,
            (f"layer {layer}",),
            {(kind, 0): name for (kind, k), name in module.names.items() if k == layer},
        )
        for layer in layers
    ]


def _stacked(modules: list[Module]) -> Module:
    """Make modules the layers of one, from the lowest upwards."""
    names: dict[tuple[str, int], str] = {}
    for module in modules:
        below = 1 + max((layer for _, layer in names), default=-1)
        names |= {(kind, below + k): name for (kind, k), name in module.names.items()}
    prefix = ",".join(module.prefix for module in modules)
    return Module(prefix, names=names, chosen=modules[0].chosen)


def list_modules(tensors: Tensors) -> list[Module]:
    """List the recurrent modules there are, in the order of the tensors."""
    return list(_named(tuple(tensors)))


@lru_cache(8)
def _named(tensors: tuple[str, ...]) -> tuple[Module, ...]:
    found: dict[str, dict[tuple[str, int, bool], str]] = {}
    for name in tensors:
        match = _RECURRENT.fullmatch(name)
        if match is not None:
            prefix = match["prefix"].rstrip("./_")
            weight, bias = match["weight"], match["bias"]
            kind = f"weight_{weight}" if weight else f"bias_{bias}"
            key = kind, int(match["layer"] or 0), bool(match["reverse"])
            found.setdefault(prefix, {})[key] = name
    modules: list[Module] = []
    for prefix, names in found.items():
        if any(reverse for *_, reverse in names):
            modules += _directions(prefix, names)
        else:
            both = {(kind, layer): name for (kind, layer, _), name in names.items()}
            modules.append(Module(prefix, names=both))
    return tuple(modules)


def is_recurrent(name: str) -> bool:
    """Whether a tensor's name is one of a recurrent module's weights."""
    return _RECURRENT.fullmatch(name) is not None


def with_choice(name: str, choice: str) -> str:
    """Give the name that chooses a module and a function of it."""
    brackets = f", {choice})" if name.endswith(")") else f" ({choice})"
    return f"{name.removesuffix(')')}{brackets}".strip()


def _directions(prefix: str, names: dict[tuple[str, int, bool], str]) -> list[Module]:
    """Part directions and layers: a layer above reads both, so past and future."""
    layers = sorted({layer for _, layer, _ in names})
    parts: dict[tuple[str, ...], dict[tuple[str, int], str]] = {}
    for (kind, layer, reverse), name in names.items():
        places: tuple[str, ...] = ("backward" if reverse else "forward",)
        if len(layers) > 1:
            places = (*places, f"layer {layer}")
        parts.setdefault(places, {})[kind, 0] = name
    return [Module(prefix, places, part) for places, part in parts.items()]


def _refuse_foreign(tensors: Tensors, module: Module, source: str) -> None:
    known = set(module.names.values())
    begin = f"{module.prefix}." if module.prefix else ""
    for name in tensors:
        inner = name.removeprefix(begin)
        if name in known or not name.startswith(begin):
            continue
        for pattern, what in _FOREIGN.items():
            if re.search(pattern, inner, re.IGNORECASE):
                raise CheckpointError(
                    f"{source}: tensor '{name}' belongs to a cell with {what}; "
                    "expected the formulas of PyTorch's LSTM, GRU or RNN, with "
                    "weight_ih, weight_hh, bias_ih and bias_hh only"
                )
