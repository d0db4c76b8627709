"""Fixtures: seeded weights, and folders of checkpoints made without training."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.net.reading import as_weights
from lstm_edge.net.weights import CELLS

Arrays = dict[str, NDArray[Any]]

# a shell that starts the tests in the background has them ignore Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)


def make_arrays(
    hidden_sizes: Sequence[int] = (5, 3),
    input_size: int = 4,
    *,
    outputs: int = 4,
    gain: float = 1.0,
    seed: int = 0,
    prefix: str = "",
    cell: str = "lstm",
    projected: bool = False,
) -> Arrays:
    """Random float32 weights in PyTorch's names; layers may differ in size.

    A projection leaves all numbers of h but one.
    """
    gates = CELLS[cell]
    random = np.random.default_rng(seed)
    arrays: Arrays = {}
    below = input_size
    for layer, hidden in enumerate(hidden_sizes):
        size = hidden - 1 if projected else hidden
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates * hidden, below),
            "weight_hh": (gates * hidden, size),
            "bias_ih": (gates * hidden,),
            "bias_hh": (gates * hidden,),
        }
        if projected:
            shapes["weight_hr"] = (size, hidden)
        for kind, shape in shapes.items():
            values = gain / np.sqrt(hidden) * random.standard_normal(shape)
            arrays[f"{prefix}{kind}_l{layer}"] = values.astype(np.float32)
        below = size
    weight = random.standard_normal((outputs, below)) / np.sqrt(below)
    arrays["readout_weight"] = weight.astype(np.float32)
    arrays["readout_bias"] = random.standard_normal(outputs).astype(np.float32)
    return arrays


def refusal(obj: object, module: str | None = None) -> str:
    """Return the message of the error, which must be one line."""
    with pytest.raises(CheckpointError) as caught:
        as_weights(obj, module=module)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def tiny_weights() -> Arrays:
    """Two layers of 5 and 3 hidden units, 4 inputs, and a readout of 4 outputs."""
    return make_arrays()


@pytest.fixture
def make_weights() -> Callable[..., Arrays]:
    """Give the function that makes weights of any sizes."""
    return make_arrays


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a run folder, one checkpoint an epoch."""

    def make(
        checkpoints: int = 3,
        *,
        hidden_sizes: Sequence[int] = (5,),
        input_size: int = 4,
        updates_per_epoch: int = 10,
        gains: Sequence[float] | None = None,
        name: str = "run",
    ) -> Path:
        run = tmp_path / name
        (run / "checkpoints").mkdir(parents=True)
        random = np.random.default_rng(1)
        probe = random.standard_normal((6, 8, input_size)).astype(np.float32)
        write_checkpoint(run / "probe.safetensors", {"inputs": probe}, {})
        rows = [
            "update,epoch,train_loss,test_loss,test_accuracy,gradient_norm,"
            "update_norm,weight_norm"
        ]
        for epoch in range(checkpoints):
            update = epoch * updates_per_epoch
            loss = 2.3 / (1 + epoch)
            metadata = {"cell": "lstm", "task": "made", "seed": "0"}
            metadata |= {"update": str(update), "epoch": str(epoch)}
            metadata |= {"train_loss": repr(loss), "test_loss": repr(loss + 0.1)}
            gain = 1.0 if gains is None else gains[epoch]
            write_checkpoint(
                run / "checkpoints" / f"update-{update:08}.safetensors",
                make_arrays(hidden_sizes, input_size, gain=gain, seed=epoch),
                metadata,
            )
            rows.append(f"{update},{epoch},{loss!r},{loss + 0.1!r},0.5,1.0,0.1,9.0")
        (run / "metrics.csv").write_text("\n".join(rows) + "\n")
        description = {
            "task": "made",
            "settings": {"hidden_size": hidden_sizes[0]},
            "seed": 0,
            "versions": {},
            "schedule": "1epoch",
            "updates_per_epoch": updates_per_epoch,
        }
        (run / "run.json").write_text(json.dumps(description))
        return run

    return make
