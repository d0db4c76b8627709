"""The weights that a net computes with, where a file keeps what they are made from.

========================  ====================================================
as saved                  the weight W
========================  ====================================================
W_g, W_v                  g v / |v|, norms as the shape of g says [1]_
W_orig, W_u, W_v          orig / (u . orig v), spectral normalisation [2]_
W_orig, W_mask            orig mask, pruning
W_raw                     raw: dropout of weights does nothing after training [3]_
bias, bias_n              of equinox's cells: W_ih x + bias, and W_hn h + bias_n
========================  ====================================================

``parametrizations.W.original0`` and ``.original1`` are g and v, ``.original`` with
``.0._u`` and ``.0._v`` is spectral normalisation.

References
----------
.. [1] T. Salimans, D. P. Kingma, NeurIPS 2016, arXiv 1602.07868.
.. [2] T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, ICLR 2018, arXiv 1802.05957.
.. [3] S. Merity, N. S. Keskar, R. Socher, ICLR 2018, arXiv 1708.02182.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import Tensors

_WEIGHT = r"(?:weight|bias)_(?:ih|hh|hr)(?:_l\d{1,4}(?:_reverse)?)?"
_PART = re.compile(
    rf"(?P<prefix>|.*[./])(?:parametrizations\.)?(?P<weight>{_WEIGHT})"
    r"(?P<part>_g|_v|_u|_orig|_mask|_raw|\.original[01]?|\.\d+\.\w+)"
)
_BIAS = re.compile(r"(?P<prefix>|.*[./_])bias(?P<layer>_l\d{1,4}(?:_reverse)?)?")
_ROLE = {".original0": "_g", ".original1": "_v", ".original": "_orig"}
_ROLE |= {".0._u": "_u", ".0._v": "_v"}
_KNOWN = ({"_g", "_v"}, {"_orig", "_u", "_v"}, {"_orig", "_mask"}, {"_raw"})


def effective(tensors: Tensors, source: str) -> Tensors:
    """Put the weights that a net computes with in the place of their parts.

    Raises
    ------
    CheckpointError
        Parts that make no weight by any of the rules above.
    """
    parts: dict[tuple[str, str], dict[str, str]] = {}
    for name in tensors:
        if match := _PART.fullmatch(name):
            role = _ROLE.get(match["part"], match["part"])
            parts.setdefault((match["prefix"], match["weight"]), {})[role] = name
    found = dict(tensors)
    places = {name.rpartition(".")[0] for name in tensors}
    for (prefix, weight), names in parts.items():
        if set(names) not in _KNOWN:
            raise CheckpointError(
                f"{source}: tensor '{next(iter(names.values()))}' is a part of "
                f"'{weight}', made by a parametrisation that is not known; save the "
                "weights themselves: torch.nn.utils.parametrize.remove_parametrizations"
            )
        shapes = {role: tuple(tensors[name].shape) for role, name in names.items()}
        if not _fit(shapes):
            raise CheckpointError(
                f"{source}: '{prefix}{weight}' is saved as {', '.join(names.values())} "
                f"of shapes {list(shapes.values())}, which do not belong together"
            )
        values = {role: numbers(tensors[name]) for role, name in names.items()}
        for name in names.values():
            del found[name]
        wrapped = f"{prefix}module"  # of a wrapper that drops weights
        target = f"{wrapped}." if wrapped in places else prefix
        found[target + weight] = _made(values)
    return _with_biases(found)


def _fit(shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether parts of these shapes make a weight no larger than the largest."""
    if "_g" in shapes:
        g, v = shapes["_g"], shapes["_v"]
        of_all = all(size == 1 for size in g)
        return of_all or (
            len(g) == len(v) and all(a in (1, b) for a, b in zip(g, v, strict=True))
        )
    if "_u" in shapes:
        return shapes["_orig"] == shapes["_u"] + shapes["_v"]
    return len(set(shapes.values())) == 1


def _made(parts: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Make a weight of its parts, in their float type."""
    if "_raw" in parts:
        return parts["_raw"]
    if "_mask" in parts:
        whole = parts["_orig"]
        made = whole * parts["_mask"]
    elif "_g" in parts:
        whole, g = parts["_v"], parts["_g"]
        v = whole.astype(float)
        axes = tuple(i for i in range(v.ndim) if g.ndim != v.ndim or g.shape[i] == 1)
        made = g * v / np.sqrt((v**2).sum(axes, keepdims=True))
    else:
        whole = parts["_orig"]
        w = whole.astype(float)
        made = w / (parts["_u"] @ w @ parts["_v"])
    return np.asarray(made, whole.dtype).reshape(whole.shape)


def _with_biases(tensors: dict[str, Any]) -> dict[str, Any]:
    """Part a cell's one bias into the two that PyTorch has."""
    for name in list(tensors):
        match = _BIAS.fullmatch(name)
        if match is None:
            continue
        prefix, layer = match["prefix"], match["layer"] or ""
        weight = tensors.get(f"{prefix}weight_hh{layer}")
        shape = tuple(tensors[name].shape)
        if weight is None or f"{prefix}bias_ih{layer}" in tensors:
            continue
        if len(weight.shape) != 2 or shape != (weight.shape[0],):
            continue  # the reader tells what is not used
        hidden = np.zeros(shape, np.float32)
        inner = tensors.get(f"{prefix}bias_n{layer}")
        if inner is not None and len(inner.shape) == 1 and len(inner) <= len(hidden):
            values = numbers(tensors.pop(f"{prefix}bias_n{layer}"))
            hidden = np.concatenate([np.zeros(len(hidden) - len(values)), values])
            hidden = hidden.astype(values.dtype)
        tensors[f"{prefix}bias_ih{layer}"] = tensors.pop(name)
        tensors[f"{prefix}bias_hh{layer}"] = hidden
    return tensors


def numbers(tensor: Any) -> NDArray[Any]:
    """Take a tensor's numbers, of any float type."""
    if hasattr(tensor, "detach"):  # a torch tensor; numpy has no bfloat16
        tensor = tensor.detach().cpu()
        tensor = tensor.float() if tensor.dtype.itemsize == 2 else tensor
        return np.asarray(tensor.numpy())
    return np.asarray(tensor)
