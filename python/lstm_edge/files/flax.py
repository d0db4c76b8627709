"""JAX and Flax: parameters of the recurrent cells of flax.linen and flax.nnx.

================= =============================== ======================
cell              parameters                      here
================= =============================== ======================
(Optimized)LSTM   ii, if, ig, io; hi, hf, hg, ho  i, f, g, o
GRU               ir, iz, in; hr, hz, hn          r, z, n, reset after
Simple            i; h                            Elman RNN, tanh
any of flax.nnx   dense_i, dense_h                gates as above, in a row
================= =============================== ======================

Kernels are (inputs, outputs). Other activations and ``residual`` leave no trace in
the parameters; a relu is chosen by ``module="name (relu)"``.

Source: flax/linen/recurrent.py and flax/nnx/nn/recurrent.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_edge.errors import CheckpointError
from lstm_edge.files.layers import (
    Array,
    RecurrentLayer,
    embedding_tensor,
    guess_below,
    library,
    name_layers,
    widen,
)
from lstm_edge.files.shapes import check_shape

_GATES = ("ifgo", "rzn", "fn")
"""Of an LSTM, a GRU and a minimal gated unit, in PyTorch's order."""

_PARAMETER = re.compile(
    r"(?:(?P<cell>.*)[./])?(?P<part>[ih][ifgorzn]|[ih]|dense_[ih])_?[./]"
    r"(?P<kind>kernel|bias)"
)
_OPTIMISER = re.compile(r"(^|[./])opt_state[./]")
_ARRAY, _SCALAR = 1, 3  # extension types of flax.serialization

Parameters = Mapping[str, Any]
"""Name, joined by dots or slashes, to array."""

Names = Mapping[tuple[str, str], str]
"""Part of a cell, and kernel or bias, to the parameter's name."""

_FUSED = "*"
"""The gate that stands for all, in a row."""


def read_msgpack(data: bytes, source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Read what flax.serialization.to_bytes wrote.

    Returns
    -------
    tree : dict
        Nested, of arrays.
    said : dict of str to str
        ``update``, of a TrainState: it calls it step.

    Raises
    ------
    CheckpointError
        If msgpack is missing, or the file holds no dictionary.
    """
    msgpack = library(source, "flax", "msgpack")

    def decode(code: int, content: bytes) -> Array | None:
        if code not in (_ARRAY, _SCALAR):
            return None
        shape, kind, values = msgpack.unpackb(content)
        if kind == "bfloat16":
            return widen(values, shape)
        dtype = np.dtype(kind)
        if dtype.kind not in "fiub" or math.prod(shape) * dtype.itemsize != len(values):
            raise ValueError(f"an array of {kind} that is none")
        return np.frombuffer(values, dtype).reshape(shape)

    tree = msgpack.unpackb(data, ext_hook=decode, strict_map_key=False)
    if not isinstance(tree, dict):
        raise CheckpointError(
            f"{source}: expected parameters by name, found {type(tree).__name__}; "
            "write flax.serialization.to_bytes(params)"
        )
    step = tree.get("step")
    if isinstance(step, np.ndarray) and step.size == 1:
        step = step.item()
    return tree, {"update": str(step)} if isinstance(step, int) else {}


def to_torch(parameters: Parameters, source: str) -> tuple[Parameters, dict[str, str]]:
    """Bring the parameters of Flax's cells to PyTorch's names; others stay as they are.

    Parameters
    ----------
    parameters : dict of str to ndarray
        Of any library.
    source : str
        For messages.

    Returns
    -------
    tensors, said

    Raises
    ------
    CheckpointError
        A cell of Flax with a parameter missing or of another shape, or a minimal
        gated unit.
    """
    own = {n: a for n, a in parameters.items() if not _OPTIMISER.search(n)}
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for name in own:
        found = _PARAMETER.fullmatch(name)
        if found:
            cell = (found["cell"] or "").replace("/", ".")
            part = re.sub(r"dense_(.)", rf"\1{_FUSED}", found["part"])
            cells.setdefault(cell, {})[part, found["kind"]] = name
    cells = {cell: names for cell, names in cells.items() if _is_cell(names)}
    if not cells:
        return parameters, {}
    below = guess_below(cells)
    tensors, said = name_layers(
        RecurrentLayer(
            name=cell,
            arrays=_arrays(own, names, source),
            below=below.get(cell),
            below_is_guessed=True,
        )
        for cell, names in cells.items()
    )
    used = {name for names in cells.values() for name in names.values()}
    rest = {name: array for name, array in own.items() if name not in used}
    for name, array in rest.items():
        tensors |= _around(name.replace("/", "."), array)
    return tensors, said


def _is_cell(names: Names) -> bool:
    """Whether there are kernels of the inputs and of the hidden units."""
    sides = {part[0] for part, kind in names if kind == "kernel"}
    return sides == {"i", "h"}


def _arrays(parameters: Parameters, names: Names, source: str) -> dict[str, Array]:
    """Take the arrays of one cell."""
    gates = _gates(names, source)
    inner = parameters[names[f"h{gates[0]}", "kernel"]]
    hidden = inner.shape[0] if len(inner.shape) == 2 else 0
    fused = inner.shape[-1] if gates == [_FUSED] and hidden else hidden
    rows = next((n * hidden for n in (4, 3, 1) if n * hidden == fused), 4 * hidden)
    arrays: dict[str, Array] = {}
    for side, inputs in (("i", "inputs"), ("h", hidden or "H")):
        parts = [f"{side}{gate}" for gate in gates]
        biases = [names.get((part, "bias")) for part in parts]
        kernels = [names[part, "kernel"] for part in parts]
        for name in kernels:
            check_shape(source, name, parameters[name], (inputs, rows or "4 * H"))
        for name in filter(None, biases):
            check_shape(source, name, parameters[name], (rows,))
        zeros = np.zeros(rows, np.float32)
        arrays[f"weight_{side}h"] = np.concatenate(
            [np.asarray(parameters[name]).T for name in kernels]
        )
        arrays[f"bias_{side}h"] = np.concatenate(
            [zeros if name is None else np.asarray(parameters[name]) for name in biases]
        )
    if all(kind == "kernel" for _, kind in names):
        del arrays["bias_ih"], arrays["bias_hh"]
    return arrays


def _gates(names: Names, source: str) -> list[str]:
    """Tell the gates of a cell; each has a kernel of the inputs and one of h."""
    found = {part[1:] for part, kind in names if kind == "kernel"}
    if found in ({""}, {_FUSED}):
        return list(found)
    gates = next(list(known) for known in _GATES if found <= {*known} or known == "fn")
    missing = next(
        (p for g in gates for p in (f"i{g}", f"h{g}") if (p, "kernel") not in names),
        None,
    )
    if gates == ["f", "n"] or missing:
        some = next(iter(names.values()))
        what = f"no kernel '{missing}'" if missing else "the gates of another cell"
        raise CheckpointError(
            f"{source}: the cell of '{some}' has {what}; expected ii, if, ig, io, hi, "
            "hf, hg, ho of an LSTM, or ir, iz, in, hr, hz, hn of a GRU"
        )
    return gates


def _around(name: str, array: Any) -> dict[str, Any]:
    """Name what may be an embedding or a readout as PyTorch does."""
    stem, _, kind = name.rpartition(".")
    if kind == "kernel" and len(array.shape) == 2:
        return {f"{stem}.weight": np.asarray(array).T}
    if kind == "embedding":
        return {embedding_tensor(stem): array}
    return {name: array}
