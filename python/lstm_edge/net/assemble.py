"""From named tensors to `Weights`: layers, readout, embedding, checked and copied."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from lstm_edge.errors import CheckpointError
from lstm_edge.files.layers import names_embedding
from lstm_edge.files.shapes import Shape, check_shape, wrong_shape
from lstm_edge.net.effective import numbers
from lstm_edge.net.modules import (
    Module,
    Tensors,
    is_recurrent,
    list_modules,
    pick_module,
    with_choice,
)
from lstm_edge.net.weights import CELLS, FUNCTIONS, KINDS, USUAL, Array, Layer, Weights

_POSITION = re.compile(r"(?<![a-z])pos(?![a-z])|position")
_INPUT = re.compile(r"(^|[._])(in|inp|input|enc|encoder)([_\d][^.]*)?\.weight$")
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def assemble(
    tensors: Tensors,
    metadata: dict[str, str],
    source: str,
    module: str | None = None,
    readout: str | None = None,
    embedding: str | None = None,
) -> Weights:
    """Find the one recurrent module among named tensors, check it, copy its arrays.

    Parameters
    ----------
    tensors : mapping of str to ndarray or torch.Tensor
        All tensors of a checkpoint.
    metadata, source
        Handed on to `Weights`.
    module : str, optional
        The module to take, where there are several or where its prefix leaves
        something open; see `lstm_edge.net.modules`.
    readout, embedding : str, optional
        Names of these tensors, where name and shape do not tell.

    Raises
    ------
    CheckpointError
        Naming the source and tensor, what was expected and what was found.
    """
    chosen = pick_module(tensors, source, module)
    cell, functions = _cell(tensors, chosen, metadata, source)
    layers = _layers(tensors, chosen, cell, source)
    hidden, inputs = layers[-1].output_size, layers[0].input_size
    top = readout_name(tensors, chosen, hidden, source, readout)
    low = embedding_name(tensors, inputs, source, embedding)
    linear = None if top is None else _readout(tensors, top, hidden, source)
    table = None if low is None else _array(tensors, low, ("tokens", inputs), source)
    arrays = [layer.arrays() for layer in layers]
    given = [array for layer in arrays for array in layer.values()]
    dtype = np.result_type(*given, *(linear or ()))
    return Weights(
        cell=cell,
        functions=functions,
        layers=tuple(
            Layer(**{kind: array.astype(dtype) for kind, array in layer.items()})
            for layer in arrays
        ),
        readout=linear and (linear[0].astype(dtype), linear[1].astype(dtype)),
        embedding=table,
        metadata=metadata,
        source=source,
        assumed=_assumed(chosen, cell, metadata),
        unused=_unused(tensors, chosen, (top, low)),
    )


def _assumed(module: Module, cell: str, metadata: dict[str, str]) -> str:
    alone = module.places[:1] and module.places[0].startswith("layer ")
    parts = [] if module.chosen or alone else module.prefix.split(",")
    said = [text for part in parts if (text := metadata.get(f"{part}.assumed"))]
    if any(
        place.startswith("layer ") and place != "layer 0" for place in module.places
    ):
        said.append("what feeds it, the layers below, is left out: not zero in the net")
    if module.named_shortly:
        said.append(
            f"{module.names['weight_hh', 0]} and the like are taken for PyTorch's "
            "weight_hh and the like, with its order of gates"
        )
    if cell == "rnn_tanh" and not module.function(metadata):
        said.append(
            "the files do not say the function of the RNN, tanh is taken; if it is "
            f"relu: --module '{with_choice(str(module), 'relu')}'"
        )
    return "; ".join(said)


def _unused(
    tensors: Tensors, module: Module, read: Iterable[str | None]
) -> tuple[str, ...]:
    """Name the tensors of the module itself, not of its parts, that are not read."""
    known = {end for name in read if name for end in (name, _bias_of(name))}
    begin = f"{module.prefix}." if module.prefix else ""
    return tuple(
        name
        for name in tensors
        if name.startswith(begin)
        and "." not in name[len(begin) :]
        and not is_recurrent(name)
        and name not in known
    )


def _cell(
    tensors: Tensors, module: Module, metadata: dict[str, str], source: str
) -> tuple[str, tuple[str, str]]:
    """Tell the cell by the rows of weight_hh a hidden unit, and its functions."""
    for kind in KINDS[:2]:
        if (kind, 0) not in module.names:
            raise _missing(module, kind, 0, source)
    name = module.names["weight_hh", 0]
    shape = tuple(tensors[name].shape)
    if ("weight_hr", 0) in module.names:
        gates = CELLS["lstm"]
    elif len(shape) == 2 and shape[1] > 0 and shape[0] % shape[1] == 0:
        gates = shape[0] // shape[1]
    else:
        gates = 0
    cell = module.cell(gates, metadata)
    if cell is None:
        variant = f" for {', '.join(module.chosen.values())}" if module.chosen else ""
        raise CheckpointError(
            f"{source}: tensor '{name}' has shape {shape}, expected (4 * H, H) of an "
            f"LSTM, (3 * H, H) of a GRU or (H, H) of an RNN{variant}"
        )
    functions = USUAL if gates == 1 else module.functions(metadata)
    for word in functions if gates > 1 else (cell.removeprefix("rnn_"),):
        if word not in FUNCTIONS:
            raise CheckpointError(
                f"{source}: function of the cell: expected one of "
                f"{', '.join(FUNCTIONS)}, found {word}"
            )
    return cell, functions


def _layers(tensors: Tensors, module: Module, cell: str, source: str) -> list[Layer]:
    names, gates = module.names, CELLS[cell]
    given = {kind for kind, _ in names} | set(KINDS[:2])
    if any(kind.startswith("bias") for kind in given):
        given |= {"bias_ih", "bias_hh"}
    layers: list[Layer] = []
    for index in range(1 + max(layer for _, layer in names)):
        for kind in KINDS:
            if kind in given and (kind, index) not in names:
                raise _missing(module, kind, index, source)
        inputs: int | str = layers[-1].output_size if layers else "input_size"
        hidden, outputs = _sizes(tensors, names, index, gates, source)
        rows = gates * hidden
        shapes: dict[str, Shape] = {
            "weight_ih": (rows, inputs),
            "weight_hh": (rows, outputs),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (outputs, hidden),
        }
        arrays = {
            kind: _array(tensors, names[kind, index], shapes[kind], source)
            for kind in KINDS
            if kind in given
        }
        zeros = np.zeros(rows, np.float32)
        layers.append(Layer(**{"bias_ih": zeros, "bias_hh": zeros} | arrays))
    return layers


def _missing(module: Module, kind: str, index: int, source: str) -> CheckpointError:
    begin = f"'{module.prefix}': " if module.prefix else ""
    return CheckpointError(
        f"{source}: {begin}tensor '{kind}_l{index}' is missing, layer {index} "
        f"needs {', '.join(KINDS[:4])}; save the whole state_dict"
    )


def _sizes(
    tensors: Tensors,
    names: dict[tuple[str, int], str],
    index: int,
    gates: int,
    source: str,
) -> tuple[int, int]:
    """Hidden units H of a layer, and numbers P of its h."""
    name = names.get(("weight_hr", index), names["weight_hh", index])
    shape = tuple(tensors[name].shape)
    if ("weight_hr", index) in names:
        if len(shape) == 2 and 0 < shape[0] < shape[1]:
            return int(shape[1]), int(shape[0])
        raise CheckpointError(
            f"{source}: tensor '{name}' has shape {shape}, expected (P, H) with P < H"
        )
    if len(shape) != 2 or shape[1] == 0 or shape[0] != gates * shape[1]:
        rows = f"{gates} * H" if gates > 1 else "H"
        raise wrong_shape(source, name, tensors[name], (rows, "H"))
    return int(shape[1]), int(shape[1])


def _readout(
    tensors: Tensors, name: str, hidden: int, source: str
) -> tuple[Array, Array]:
    weight = _array(tensors, name, ("outputs", hidden), source)
    bias = _bias_of(name)
    if bias not in tensors:
        return weight, np.zeros(len(weight), weight.dtype)
    return weight, _array(tensors, bias, (len(weight),), source)


def _bias_of(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def readout_name(
    tensors: Tensors,
    module: Module,
    hidden: int,
    source: str,
    wanted: str | None = None,
) -> str | None:
    """Find the linear readout of the top layer; None where there is none or several.

    It must be what leaves the net: no layer that another linear layer or a further
    recurrent module fits behind, and none that is named as what inputs pass.

    Parameters
    ----------
    tensors : mapping of str to ndarray or torch.Tensor
    module : Module
    hidden : int
        Numbers of h of the top layer.
    source : str
    wanted : str, optional
        Its name, or the end of it.

    Raises
    ------
    CheckpointError
        Nothing, or more than one tensor, has the name wanted.
    """
    if wanted is not None:
        return _named(tensors, "readout", wanted, source)
    if "readout_weight" in tensors:
        return "readout_weight"
    if any(
        other.prefix not in module.prefix.split(",")
        and tensors[name].shape[-1:] == (hidden,)
        for other in list_modules(tensors)
        if (name := other.names.get(("weight_ih", 0)))
    ):
        return None  # it may read the states of that one
    linear = {
        name: tuple(tensor.shape)
        for name, tensor in tensors.items()
        if name.endswith(".weight")
        and len(tensor.shape) == 2
        and not names_embedding(name)
    }
    fits = [
        name
        for name, shape in linear.items()
        if shape[1] == hidden and not _INPUT.search(name.lower())
    ]
    if named := [name for name in fits if f".{name}".endswith(".readout.weight")]:
        return named[0] if len(named) == 1 else None
    if len(fits) != 1:
        return None
    names = list(linear)
    behind = names[names.index(fits[0]) + 1 :]
    outputs = linear[fits[0]][0]
    if any(linear[n][1] == outputs and not _INPUT.search(n.lower()) for n in behind):
        return None  # the first layer of several
    return fits[0]


def embedding_name(
    tensors: Tensors, inputs: int, source: str, wanted: str | None = None
) -> str | None:
    """Find the embedding of tokens, as `readout_name` finds the readout.

    A layer with a bias is none, whatever its name, nor one of positions.

    Parameters
    ----------
    inputs : int
        Of the lowest layer.
    """
    if wanted is not None:
        return _named(tensors, "embedding", wanted, source)
    names = [
        name
        for name, tensor in tensors.items()
        if name.endswith("weight")
        and names_embedding(name)
        and not _POSITION.search(name.lower())
        and _bias_of(name) not in tensors
        and len(tensor.shape) == 2
        and tensor.shape[1] == inputs
    ]
    return names[0] if len(names) == 1 else None


def _named(tensors: Tensors, what: str, wanted: str, source: str) -> str:
    """Find the one tensor of a name, the end of it, or of a layer's weight."""
    if wanted in tensors:
        return wanted
    ends = (f".{wanted}", f".{wanted}.weight")
    found = [name for name in tensors if f".{name}".endswith(ends)]
    if len(found) == 1:
        return found[0]
    matrices = [
        name
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2 and name.endswith("weight")
    ]
    raise CheckpointError(
        f"{source}: {what}: expected one tensor named {wanted!r}, found {len(found)}; "
        f"choose one of {', '.join(found or matrices or tensors)}"
    )


def _array(tensors: Tensors, name: str, shape: Shape, source: str) -> Array:
    """Copy a tensor into a native float array, after checking all that can be wrong."""
    tensor = tensors[name]
    check_shape(source, name, tensor, shape)
    dtype = getattr(tensor.dtype, "name", str(tensor.dtype).removeprefix("torch."))
    if dtype not in _FLOATS:
        raise CheckpointError(
            f"{source}: tensor '{name}' has type {dtype}, expected {', '.join(_FLOATS)}"
            "; quantised weights must be restored to floats first"
        )
    try:
        array = numbers(tensor)
    except (TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{source}: tensor '{name}' holds no dense values ({error})"
        ) from error
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise CheckpointError(
            f"{source}: tensor '{name}' holds {bad} NaN or infinite values, expected "
            "finite weights; training had diverged, take an earlier checkpoint"
        )
    return np.array(array, np.promote_types(array.dtype, np.float32), order="C")
