"""Recurrent modules among named tensors: which there are, and which one is meant.

A module is named by the prefix of its tensors. What a prefix leaves open stands in
brackets behind it: ``"lstm (forward)"``, ``"lstm (backward, layer 1)"``,
``"rnn (relu)"``, ``"gru (reset before)"``. ``"lstm1, lstm2"`` are layers of one net,
the first the lowest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.net.weights import CELLS

Tensors = Mapping[str, Any]
"""Tensor name to numpy array or torch tensor."""

_RECURRENT = re.compile(
    r"(?P<prefix>.*?)(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"(?:_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?)?"
)
_VARIANTS = {"relu": "rnn_relu", "tanh": "rnn_tanh", "reset before": "gru_reset_before"}
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
    variant : str or None
        Of its cell, as the user says.
    """

    prefix: str
    places: tuple[str, ...] = ()
    names: dict[tuple[str, int], str] = field(default_factory=dict)
    variant: str | None = None

    def __str__(self) -> str:
        """Return the name that chooses it."""
        places = f"({', '.join(self.places)})" if self.places else ""
        return f"{self.prefix} {places}".strip()

    def cell(self, gates: int, metadata: Mapping[str, str]) -> str | None:
        """Tell the cell of `gates` rows a unit; None where there is none.

        The user decides first, then the metadata: ``nonlinearity`` and ``reset_after``,
        behind the prefix or alone.
        """
        if self.variant is not None:
            return self.variant if CELLS[self.variant] == gates else None
        plain = next((cell for cell, rows in CELLS.items() if rows == gates), None)
        if plain == "lstm" or plain is None:
            return plain
        if plain == "gru":
            word = self._said("reset_after", metadata)
            return "gru_reset_before" if word in ("false", "0") else plain
        return f"rnn_{self._said('nonlinearity', metadata) or 'tanh'}"

    def assumes_tanh(self, metadata: Mapping[str, str]) -> bool:
        """Whether nobody says which function an RNN has: weights are alike."""
        return self.variant is None and not self._said("nonlinearity", metadata)

    def _said(self, what: str, metadata: Mapping[str, str]) -> str:
        return metadata.get(f"{self.prefix}.{what}", metadata.get(what, "")).lower()


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
            f"found {shown}"
        )
    prefix, _, inside = (wanted or "").partition("(")
    if "," in prefix:
        brackets = f" ({inside}" if inside else ""
        parts = [part.strip() + brackets for part in prefix.split(",")]
        return _stacked([pick_module(tensors, source, part) for part in parts])
    prefix = prefix.strip()
    choices = {choice.strip() for choice in inside.rstrip(") ").split(",")} - {""}
    variants = sorted(choices & set(_VARIANTS))
    places = choices - set(variants)
    if len(variants) > 1:
        raise CheckpointError(
            f"{source}: module: expected one variant of a cell, found "
            f"{' and '.join(variants)}"
        )
    found = [
        module
        for module in modules
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
    return replace(found[0], variant=_VARIANTS[variants[0]] if variants else None)


def _stacked(modules: list[Module]) -> Module:
    """Make modules the layers of one, from the lowest upwards."""
    names: dict[tuple[str, int], str] = {}
    for module in modules:
        below = 1 + max((layer for _, layer in names), default=-1)
        names |= {(kind, below + k): name for (kind, k), name in module.names.items()}
    prefix = ",".join(module.prefix for module in modules)
    return Module(prefix, names=names, variant=modules[0].variant)


def list_modules(tensors: Tensors) -> list[Module]:
    """List the recurrent modules there are, in the order of the tensors."""
    found: dict[str, dict[tuple[str, int, bool], str]] = {}
    for name in tensors:
        match = _RECURRENT.fullmatch(name)
        if match is not None:
            prefix = match["prefix"].rstrip("./_")
            key = match["kind"], int(match["layer"] or 0), bool(match["reverse"])
            found.setdefault(prefix, {})[key] = name
    modules: list[Module] = []
    for prefix, names in found.items():
        if any(reverse for *_, reverse in names):
            modules += _directions(prefix, names)
        else:
            both = {(kind, layer): name for (kind, layer, _), name in names.items()}
            modules.append(Module(prefix, names=both))
    return modules


def is_recurrent(name: str) -> bool:
    """Whether a tensor's name is one of a recurrent module's weights."""
    return _RECURRENT.fullmatch(name) is not None


def with_relu(name: str) -> str:
    """Give the name that chooses a module with relu."""
    return f"{name[:-1]}, relu)" if name.endswith(")") else f"{name} (relu)".strip()


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
