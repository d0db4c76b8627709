"""Weights from whatever holds them: memory, or a file of any known format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files.flax import to_torch
from lstm_edge.files.guard import Tensors, flatten
from lstm_edge.files.huggingface import read_any
from lstm_edge.files.keras import from_keras, is_keras
from lstm_edge.files.places import absolute, as_place, is_place
from lstm_edge.net.assemble import assemble
from lstm_edge.net.effective import effective
from lstm_edge.net.gates import join_gates
from lstm_edge.net.weights import Weights


def as_weights(
    obj: Any,
    *,
    module: str | None = None,
    readout: str | None = None,
    embedding: str | None = None,
) -> Weights:
    """Take the weights from whatever holds them.

    Parameters
    ----------
    obj : Weights, torch.nn.Module, Keras model, mapping of names to arrays, or path
        Names are PyTorch's (``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``,
        ``bias_hh_l0``, ``weight_ih_l1``, ...) behind any prefix; mappings may be
        nested.
    module : str, optional
        Prefix of the recurrent module to take, where there are several; in brackets
        what it leaves open: ``"lstm (backward)"``, ``"rnn (relu)"``,
        ``"gru (reset before)"``.
    readout, embedding : str, optional
        Names of the linear readout's weight (O, H), whose bias goes with it, and of
        the embedding (V, I). Default: found, where name and shape leave one only.

    Returns
    -------
    Weights
        A copy: training may go on with the original. Of `Weights` that object itself.

    Raises
    ------
    CheckpointError
        Naming the file or tensor, what was expected and what was found.

    Examples
    --------
    >>> import torch
    >>> import lstm_edge
    >>> weights = lstm_edge.as_weights(torch.nn.LSTM(3, 5))
    >>> weights.architecture, weights.state_size
    ('lstm 3 -> 5', 10)
    """
    if isinstance(obj, Weights):
        return obj
    chosen = (module, readout, embedding)
    if is_place(obj):
        return read_checkpoint(obj, module=module, readout=readout, embedding=embedding)
    if isinstance(obj, Mapping):
        tensors, said = to_torch(flatten(obj), "weights")
        return assemble(*_computed(dict(tensors), said, "weights"), "weights", *chosen)
    if is_keras(obj):
        return assemble(*from_keras(obj), type(obj).__name__, *chosen)
    state_dict = getattr(obj, "state_dict", None)
    if not callable(state_dict):
        raise CheckpointError(
            "weights: expected a torch or Keras module, a state_dict, a dict of arrays "
            f"or a path, found {type(obj).__name__}"
        )
    # the only part of a cell that its tensors do not show
    parts = dict(obj.named_modules()) if hasattr(obj, "named_modules") else {}
    said = {
        f"{name}.nonlinearity": str(part.nonlinearity)
        for name, part in parts.items()
        if isinstance(getattr(part, "nonlinearity", None), str)
    }
    source = type(obj).__name__
    tensors, said = _computed(flatten(state_dict()), said, source)
    return assemble(tensors, said, source, *chosen)


def read_checkpoint(
    path: str | PathLike[str],
    *,
    module: str | None = None,
    readout: str | None = None,
    embedding: str | None = None,
) -> Weights:
    """Read the weights of a checkpoint, of any of the formats in docs/formats.md.

    Where training kept the embedding apart, the one that belongs to the checkpoint is
    read with it; the metadata says of which update it is.

    Parameters
    ----------
    path : path
        The file or Hugging Face folder, or its URL. Nothing is unpickled.
    module, readout, embedding
        As in `as_weights`.

    Returns
    -------
    Weights
        In the file's float type; float16 and bfloat16 are widened to float32.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, unsafe or holds no usable net.

    Examples
    --------
    >>> import lstm_edge
    >>> file = "runs/digits/checkpoints/update-00000000.safetensors"
    >>> lstm_edge.read_checkpoint(file).cell
    'lstm'
    """
    try:
        tensors, metadata = read_named(as_place(path))
        return assemble(tensors, metadata, str(path), module, readout, embedding)
    except MemoryError as error:
        raise CheckpointError(f"{path}: does not fit into memory") from error


def read_named(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read all tensors of a checkpoint by name, and what it says of itself."""
    tensors, metadata = read_any(path)
    if "embedding_update" in metadata:
        tensors |= _embeddings(path, metadata["embedding_update"])
    return _computed(tensors, metadata, str(path))


def _computed(
    tensors: Tensors, said: dict[str, str], source: str
) -> tuple[Tensors, dict[str, str]]:
    """Give the weights that a net computes with, under PyTorch's names."""
    joined, guessed = join_gates(effective(tensors, source))
    return joined, said | guessed


def _embeddings(path: Path, update: str) -> Tensors:
    """Read the embeddings that a run keeps in a folder beside its checkpoints."""
    if not re.fullmatch(r"\d{1,19}", update):
        raise CheckpointError(
            f"{path}: embedding_update: expected a whole number, found {update!r}"
        )
    beside = absolute(path).parent.parent / "embeddings"
    file = beside / f"update-{int(update):08}.safetensors"
    if not file.is_file():
        raise CheckpointError(
            f"{path}: its embedding is kept apart, expected {file}, found no such "
            "file; copy the folder 'embeddings' too"
        )
    return read_any(file)[0]
