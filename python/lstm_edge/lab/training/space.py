"""The space that a run will need on disk, known before it starts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lstm_edge.display import counted
from lstm_edge.errors import LstmEdgeError
from lstm_edge.lab.training.recording import Recording
from lstm_edge.lab.training.schedules import count_checkpoints
from lstm_edge.lab.training.trainer import Trainer

HEADER = 2048
"""Bytes of a checkpoint beside its tensors, and of its row of metrics, at most."""

STATE_HEADER = 32_768
"""The same of a state, which PyTorch writes."""

STATE = 3
"""Numbers in a state for each weight: itself and Adam's two moments."""


@dataclass(frozen=True)
class Space:
    """What a run will still write, at most.

    Attributes
    ----------
    checkpoints : int
    needed, free : int
        Bytes, and those free on the disk.
    """

    checkpoints: int
    needed: int
    free: int

    def __str__(self) -> str:
        """Return it for people."""
        return (
            f"{counted(self.checkpoints, 'checkpoint')}, {_in_words(self.needed)} at "
            f"most ({_in_words(self.free)} free)"
        )

    def check(self, folder: Path, what: str = "run") -> None:
        """Refuse what has no room.

        Raises
        ------
        LstmEdgeError
        """
        if self.needed > self.free:
            raise LstmEdgeError(
                f"{folder}: the {what} needs {_in_words(self.needed)}, the disk has "
                f"{_in_words(self.free)} free; free some, or keep fewer checkpoints "
                "with --every"
            )


def space_needed(trainer: Trainer, recording: Recording, folder: Path) -> Space:
    """Add up what is to be written after the update that a trainer has reached."""
    tensors = trainer.model.state_dict()
    sizes = {name: 4 * tensor.numel() for name, tensor in tensors.items()}
    apart = sum(sizes[name] for name in recording.embeddings)
    everything = sum(sizes.values())
    count = count_checkpoints(recording.schedule, trainer.update, recording.last)
    count += trainer.update == 0
    keep = recording.keep
    states = 1 + min(count, recording.last // keep + 1) if keep and count else 0
    needed = (
        count * (everything - apart + HEADER)
        + -(-count // recording.embedding_every) * apart
        + states * (STATE * everything + STATE_HEADER)
    )
    return Space(count, needed, shutil.disk_usage(folder).free)


def _in_words(size: int) -> str:
    for power, unit in ((9, "GB"), (6, "MB")):
        if size >= 10**power:
            return f"{size / 10**power:.3g} {unit}"
    return f"{size / 1000:.3g} kB"
