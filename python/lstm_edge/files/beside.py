"""What lies in the same folder as a checkpoint, where its format parts it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from lstm_edge.errors import CheckpointError
from lstm_edge.files.places import exists, list_folder, read_all, read_start


@dataclass(frozen=True)
class Beside:
    """The folder of a file; of content without a file, one that holds nothing."""

    path: Path | None = None

    def names(self, suffix: str) -> list[str]:
        """List the files whose names end so, that of the file itself first."""
        if self.path is None:
            return []
        stem = self.path.name.partition(".")[0]
        found = [p.name for p in list_folder(self.path.parent) if p.suffix == suffix]
        return sorted(found, key=lambda name: (PurePath(name).stem != stem, name))

    def read(self, name: str) -> bytes | None:
        """Read a file of this folder; None where there is none of this plain name.

        Raises
        ------
        CheckpointError
            If it cannot be read.
        """
        plain = name not in ("", ".", "..") and not {"/", "\\", "\0", ":"} & set(name)
        if self.path is None or not plain:
            return None
        path = self.path.with_name(name)
        return read_all(path) if exists(path) else None

    def start(self, name: str, count: int) -> bytes:
        """Read the first bytes of one of `names`; none of what cannot be read."""
        if self.path is not None:
            with suppress(CheckpointError):
                return read_start(self.path.with_name(name), count)
        return b""
