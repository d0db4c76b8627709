"""Keras: its files (``.keras``, ``.weights.h5``, the older ``.h5``) and live models.

============ ======================= ==================== ==========================
layer        kernel                  gate order           here
============ ======================= ==================== ==========================
LSTM         (I, 4H), (H, 4H)        i, f, c, o           i, f, g, o
GRU          (I, 3H), (H, 3H)        z, r, h              r, z, n
SimpleRNN    (I, H), (H, H)
CuDNNLSTM    as LSTM, transposed     i, f, c, o           i, f, g, o
CuDNNGRU     as GRU, transposed      z, r, h              r, z, n, reset after
============ ======================= ==================== ==========================

A GRU with ``reset_after`` has two biases, (2, 3H); without it the reset comes before
the product. Those of CuDNN lie in a row, (8H,) or (6H,), by which they are known; their
blocks are transposed, those of the inputs in Fortran's order. The config, where there
is one, names the functions and the order of the layers; a ``.weights.h5`` has none, and
that of ``model.to_json()`` beside it is taken.

Source: keras/src/layers/rnn of Keras 3; keras/saving/legacy/hdf5_format.py of Keras 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files.beside import Beside
from lstm_edge.files.hdf5 import read_hdf5
from lstm_edge.files.keras_config import (
    USUAL,
    Config,
    config_beside,
    functions,
    parse_config,
    word_of,
)
from lstm_edge.files.keras_parts import Part, alive, arrays_of, by_groups, by_names
from lstm_edge.files.layers import (
    Array,
    RecurrentLayer,
    embedding_tensor,
    guess_below,
    name_layers,
    reorder,
)
from lstm_edge.files.shapes import Shape, wrong_shape

_ORDER = {4: (0, 1, 2, 3), 3: (1, 0, 2), 1: (0,)}
"""Rows a unit, to where Keras has the gates in PyTorch's order."""

_CLASSES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1, "CuDNNLSTM": 4, "CuDNNGRU": 3}
"""Rows a unit, of each class."""

Named = tuple[dict[str, Array], dict[str, str]]


def read_keras(
    data: bytes,
    source: str,
    beside: Beside,
    config: bytes | None = None,
    version: str = "",
) -> Named:
    """Read the weights of a Keras model.

    Parameters
    ----------
    data : bytes
        The HDF5 file.
    source : str
        Its name, for messages.
    beside : Beside
        Where ``model.to_json()`` may lie.
    config : bytes, optional
        ``config.json`` of a ``.keras`` file.
    version : str
        Of the Keras that wrote it, where the HDF5 file does not say.

    Returns
    -------
    tensors, said
        By PyTorch's names.

    Raises
    ------
    CheckpointError
        A function or cell that is not known, or a wrong shape.
    """
    arrays, attributes = read_hdf5(data, source)
    about = attributes.get("model_weights", {}) | attributes[""]
    told = json.loads(config or about.get("model_config", "{}"))
    told = told or config_beside(beside)
    of_keras_3 = any("/vars/" in path for path in arrays)
    version = about.get("keras_version", version) or ("3" if of_keras_3 else "")
    model = parse_config(told, version)
    parts = by_groups(arrays, attributes, model) if of_keras_3 else by_names(arrays)
    return convert(list(parts), model, source)


def is_keras(obj: object) -> bool:
    """Whether it is a layer or a model of Keras."""
    return any(kind.__module__.startswith("keras.") for kind in type(obj).__mro__)


def from_keras(model: Any) -> Named:
    """Take the weights of a live model or layer."""
    config = Config()
    try:
        told = {"class_name": type(model).__name__, "config": model.get_config()}
        config = parse_config(told, "3")
    except NotImplementedError:  # a subclass that cannot be saved as a config
        pass
    parts = list(alive(model, type(model).__name__, config))
    return convert(parts, config, type(model).__name__)


def convert(parts: list[Part], config: Config, source: str) -> Named:
    """Bring the parts of a model to PyTorch's names and layout."""
    recurrent = [part for part in parts if part.is_recurrent]
    by_group = {part.group: part.name for part in recurrent}
    by_layer = {part.layer: part.name for part in recurrent}
    guessed = guess_below(by_group)
    dense = [part.name for part in parts if _is_dense(part)]
    layers = []
    for part in recurrent:
        known = part.layer in config.below
        below = guessed.get(part.group, "")
        layers.append(
            replace(
                _recurrent(part, config, dense, source),
                below=by_layer.get(config.below[part.layer])
                if known
                else by_group.get(below),
                below_is_guessed=not known,
            )
        )
    tensors, said = name_layers(layers)
    for part in parts:
        tensors |= _around(part, config, by_layer)
    return tensors, said


def _is_dense(part: Part) -> bool:
    kernel = part.variables.get("kernel")
    return kernel is not None and kernel.ndim == 2 and not part.is_recurrent


def _around(
    part: Part, config: Config, recurrent: Mapping[str, str]
) -> dict[str, Array]:
    """Name what may be an embedding or a readout, which is linear and reads a net."""
    if not {"kernel", "recurrent_kernel", "embeddings"} & part.variables.keys():
        return {part.paths[name]: array for name, array in part.variables.items()}
    if "embeddings" in part.variables:
        return {embedding_tensor(part.name): part.variables["embeddings"]}
    if not _is_dense(part):
        return {}
    kernel = part.variables["kernel"]
    word = word_of(config.of(part.layer).get("activation", "linear"))
    reads = config.below.get(part.layer)
    inner = reads is not None and reads not in recurrent
    if word != "linear" or inner or part.layer in config.below.values():
        return {f"{part.name}.kernel": kernel}
    found = {f"{part.name}.weight": kernel.T}
    if "bias" in part.variables:
        found[f"{part.name}.bias"] = part.variables["bias"]
    return found


def _recurrent(
    part: Part, config: Config, dense: list[str], source: str
) -> RecurrentLayer:
    for name in ("kernel", "recurrent_kernel"):
        if name not in part.variables:
            raise CheckpointError(
                f"{source}: '{part.group}' has no {name}, expected kernel, "
                "recurrent_kernel and perhaps bias; save the model again"
            )
    settings = config.of(part.layer, part.name)
    if not settings and config.knows_cells:
        raise CheckpointError(
            f"{source}: '{part.group}' is not in the model's configuration, so that "
            "its functions are not known; save its weights alone: "
            "model.save_weights('net.weights.h5')"
        )
    gates = _gates(part, settings, source)
    arrays, by_cudnn = arrays_of(part, gates, source)
    found = functions(part.layer, part.name, gates, config, source)
    said = {} if by_cudnn else {k: w for k, w in found.items() if w != USUAL[k]}
    assumed = []
    if gates == 1:
        said = {"nonlinearity": found["activation"]} if settings else {}
    elif not settings and not by_cudnn:  # CuDNN has the usual ones alone
        gate = found["recurrent_activation"]
        assumed = [f"{found['activation']}, and {gate} of the gates,"]
        assumed += [f"a linear {name}" for name in dense]
    if gates == 3:
        bias = part.variables.get("bias")
        after = settings.get("reset_after", bias is None or bias.ndim == 2)
        said["reset_after"] = str(by_cudnn or after).lower()
        if bias is None and not settings:
            assumed.append("a reset after the product")
    order = _ORDER[gates]
    return RecurrentLayer(
        name=part.name,
        arrays={kind: reorder(array, order) for kind, array in arrays.items()},
        direction=part.direction,
        said=said,
        assumed=_sentence(part, assumed, config.way_out),
    )


def _gates(part: Part, settings: Mapping[str, Any], source: str) -> int:
    """Rows a unit: the config says it, else the shape does."""
    kind = str(settings.get("class_name")).removesuffix("Cell")
    inner = part.variables["recurrent_kernel"]
    known = _CLASSES.get(kind)
    shapes: dict[int, Shape]
    shapes = {4: ("H", "4 * H"), 3: ("H", "3 * H"), 1: ("H", "H")}
    for gates in [known] if known else _ORDER:
        if inner.ndim == 2 and inner.shape[1] == gates * inner.shape[0] > 0:
            return gates
    raise wrong_shape(
        source,
        part.paths["recurrent_kernel"],
        inner,
        *([shapes[known]] if known else shapes.values()),
    )


def _sentence(part: Part, assumed: list[str], way_out: str) -> str:
    if not assumed:
        return ""
    what = " and ".join(assumed)
    return (
        f"{part.name}: the file holds no configuration, so that {what} are assumed; "
        f"{way_out}: --module '{part.name} (relu, gates hard_sigmoid)'"
    )
