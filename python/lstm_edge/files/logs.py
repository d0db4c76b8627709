"""Logs: the losses that trainers write down, in the forms that people have.

Tables (CSV with any usual separator: Lightning's and Keras's CSVLogger, one's own
loop), JSON (Keras's History, a list of rows, transformers' ``trainer_state.json``),
JSON lines, and TensorBoard's event files.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lstm_edge.errors import UsageError
from lstm_edge.extras import load
from lstm_edge.files.places import read_all

Rows = list[dict[str, float]]
"""Of a log, in its order: column to number, as far as there are numbers."""

UPDATE, EPOCH = "update", "epoch"

TIMES = {
    UPDATE: (
        *("update", "updates", "global_step", "step", "steps", "iteration"),
        *("iterations", "iter", "num_updates", "trainer_global_step"),
    ),
    EPOCH: ("epoch", "epochs"),
}
"""Names of the columns that tell the time, the better one first."""

NAMES = {
    "train_loss": ("train_loss", "training_loss", "loss_train", "loss"),
    "test_loss": (
        *("test_loss", "val_loss", "valid_loss", "validation_loss", "eval_loss"),
        *("dev_loss", "loss_test", "loss_val", "loss_valid", "loss_validation"),
    ),
    "test_accuracy": (
        *("test_accuracy", "test_acc", "val_accuracy", "val_acc", "valid_accuracy"),
        *("eval_accuracy", "accuracy_test", "accuracy_val"),
    ),
    "gradient_norm": ("gradient_norm", "grad_norm"),
    "update_norm": ("update_norm",),
    "weight_norm": ("weight_norm",),
}
"""Names that a metric has in logs, the better one first."""

FILES = re.compile(
    r"(metrics|log|logs|training|history|losses|loss|results)"
    r"\.(csv|tsv|txt|log|jsonl?)|trainer_state\.json|events\.out\.tfevents\..*"
)
"""Names under which a log is found by itself."""


def plain(name: str) -> str:
    """Give a column's name in small letters and underscores: "val/Loss" is val_loss."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def read_log(path: Path) -> Rows:
    """Read the rows of a log; its content decides of which form it is.

    Raises
    ------
    UsageError
        If it is missing, or cannot be read as a table of numbers.
    """
    try:
        if "tfevents" in path.name:
            return list(_tensorboard(path))
        text = read_all(path).decode("utf-8-sig")
        start = text.lstrip()[:1]
        if start in ("{", "["):
            rows = _lines(text) if _is_lines(text) else _json(json.loads(text))
        else:
            rows = _table(text)
        return [numbers for row in rows if (numbers := _numbers(row))]
    except UsageError:
        raise
    except (ValueError, TypeError, csv.Error, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a table ({error})") from error
    except Exception as error:  # of a place that cannot be reached
        raise UsageError(str(error)) from error


def _is_lines(text: str) -> bool:
    first, _, rest = text.strip().partition("\n")
    return first.startswith("{") and first.endswith("}") and rest.startswith("{")


def _lines(text: str) -> Iterator[Mapping[str, Any]]:
    """Rows of JSON lines; the last may be half written."""
    lines = text.strip().splitlines()
    for number, line in enumerate(lines):
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines) - 1:
                raise


def _json(found: Any) -> Iterable[Mapping[str, Any]]:
    """Rows of a list, of transformers' history, or of lists of equal lengths."""
    if isinstance(found, dict) and isinstance(found.get("log_history"), list):
        found = found["log_history"]
    if isinstance(found, list):
        return [row for row in found if isinstance(row, dict)]
    if isinstance(found.get("history"), dict):
        found = found["history"]
    columns = {name: values for name, values in found.items() if type(values) is list}
    if not columns:
        raise ValueError("expected rows, or lists of numbers by name")
    if EPOCH not in columns:  # Keras counts its epochs from 0
        columns[EPOCH] = list(range(max(map(len, columns.values()))))
    return [
        {name: v[i] for name, v in columns.items() if i < len(v)}
        for i in range(len(columns[EPOCH]))
    ]


def _table(text: str) -> Iterable[Mapping[str, Any]]:
    header = text.lstrip().partition("\n")[0]
    separator = max(",;\t|", key=header.count)
    rows = csv.DictReader(io.StringIO(text.lstrip(), newline=""), delimiter=separator)
    if separator != ";":
        return rows
    return [{k: str(v).replace(",", ".") for k, v in row.items()} for row in rows]


def _tensorboard(path: Path) -> Iterator[dict[str, float]]:
    module = "tensorboard.backend.event_processing.event_accumulator"
    library = load("tensorboard", module)
    events = library.EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            yield {"step": float(event.step), tag: float(event.value)}


def _numbers(row: Mapping[Any, Any]) -> dict[str, float]:
    found = {}
    for name, value in row.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if isinstance(name, str) and not math.isnan(number):
            found[name.strip()] = number
    return found
