"""Folders that are one checkpoint, as Hugging Face's libraries write them.

Such a folder holds its weights under one of the names in `WEIGHTS`, whole or in shards
with an index, and beside them ``config.json`` and ``trainer_state.json``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files.formats import read_tensors
from lstm_edge.files.guard import Tensors
from lstm_edge.files.orbax import refuse_orbax
from lstm_edge.files.places import exists, is_folder, read_all

INDEX = ".index.json"
"""End of the name of a file that says which shard holds which tensor."""

WEIGHTS = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)
"""Names of the weights of a folder, in the order in which they are looked for."""

_OF_A_FOLDER = re.compile(r"(pytorch_)?model(-\d+-of-\d+)?\.(safetensors|bin)")
_NO_WEIGHTS = re.compile(
    r"(training_args|optimizer|scheduler|scaler|rng_state|random_states)(_\d+)*"
    r"\.(bin|pt|pth|safetensors)"
)
_LARGEST = 2**26  # of a JSON file, in bytes


def weights_of(folder: Path) -> Path | None:
    """Find the weights of a folder that is one checkpoint; None in any other."""
    return next((folder / n for n in WEIGHTS if exists(folder / n)), None)


def belongs_to_folder(name: str) -> bool:
    """Whether a file is part of a folder's one checkpoint, rather than one itself."""
    return _OF_A_FOLDER.fullmatch(name) is not None


def holds_no_weights(name: str) -> bool:
    """Whether a trainer keeps something else than weights under this name."""
    return _NO_WEIGHTS.fullmatch(name) is not None


def read_any(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read a checkpoint: a file as `read_tensors` does, a folder, or an index.

    Raises
    ------
    CheckpointError
        As `read_tensors`; an index that names what is no file beside it.
    """
    if is_folder(path):
        weights = weights_of(path)
        if weights is None:
            refuse_orbax(path)
            raise CheckpointError(
                f"{path}: expected a checkpoint, found a folder without "
                f"{', '.join(WEIGHTS)}; name one of its files"
            )
        tensors, said = read_any(weights)
        return tensors, read_json(path / "config.json") | said | said_in(path)
    if path.name.endswith(INDEX):
        return _read_shards(path)
    return read_tensors(path)


def _read_shards(index: Path) -> tuple[Tensors, dict[str, str]]:
    """Read the shards that an index names; they lie beside it."""
    places = load_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(
            f"{index}: expected a 'weight_map' from tensors to files, found none"
        )
    tensors: Tensors = {}
    for name in sorted(set(map(str, places.values()))):
        if not belongs_to_folder(name):
            raise CheckpointError(
                f"{index}: expected shards such as model-00001-of-00002.safetensors "
                f"beside it, found {name!r}"
            )
        tensors |= read_tensors(index.with_name(name))[0]
    missing = next((name for name in places if name not in tensors), None)
    if missing is not None:
        raise CheckpointError(
            f"{index}: tensor '{missing}' is missing in {places[missing]}, which the "
            "index names; fetch all shards again"
        )
    return {name: tensors[name] for name in places}, {}


def said_in(folder: Path) -> dict[str, str]:
    """Read what the Trainer of transformers wrote down: the time, and the losses.

    Returns
    -------
    dict of str to str
        Of ``update``, ``epoch``, ``train_loss``, ``test_loss`` those that are there.
    """
    state = load_json(folder / "trainer_state.json")
    log = state.get("log_history")
    steps = [s for s in log if isinstance(s, dict)] if isinstance(log, list) else []
    now = {
        k: v
        for s in steps
        if s.get("step") == state.get("global_step")
        for k, v in s.items()
    }
    found = {
        "update": state.get("global_step"),
        "epoch": state.get("epoch"),
        "train_loss": now.get("loss"),
        "test_loss": now.get("eval_loss"),
    }
    return {k: str(v) for k, v in found.items() if isinstance(v, int | float)}


def read_json(path: Path) -> dict[str, str]:
    """Read the numbers and texts at the top of a JSON file; {} where there is none."""
    found = load_json(path).items()
    return {k: str(v) for k, v in found if isinstance(v, int | float | str)}


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where there is no file.

    Raises
    ------
    CheckpointError
        If it is too large, or holds something else.
    """
    if not exists(path):
        return {}
    data = read_all(path)
    try:
        if len(data) > _LARGEST:
            raise ValueError(f"it has {len(data)} bytes")
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected JSON, {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found another value")
    return found
