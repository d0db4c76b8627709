"""Hostile places: names, links and kinds of files; a sound checkpoint lies in some."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from hostile.sound import safetensors_bytes

Write = Callable[[Path], None]
"""Makes what lies at a path."""


def sound(path: Path) -> None:
    path.write_bytes(safetensors_bytes())


def loop(path: Path) -> None:
    path.symlink_to(path)


def link_to(target: str) -> Write:
    return lambda path: path.symlink_to(target)


def unreadable(path: Path) -> None:
    sound(path)
    path.chmod(0)


def listening(path: Path) -> None:
    """Leave the socket of a server; its path may be as long as 100 characters."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


BAD: dict[str, Write] = {
    "link that leads nowhere.pt": link_to("nothing.pt"),
    "link that leads nowhere [1].pt": link_to("nothing.pt"),
    "link to itself.safetensors": loop,
    "link to an endless device.npz": link_to("/dev/zero"),
    "link to a silent device.npz": link_to("/dev/tty"),
    "named pipe.pt": os.mkfifo,
    "socket.safetensors": listening,
}
"""Name to what lies there, and cannot be read."""

if os.geteuid() != 0:  # root reads everything
    BAD["no permission.safetensors"] = unreadable

GOOD: tuple[str, ...] = (
    "-rf.safetensors",
    "--strict.safetensors",
    "$(touch code-ran).safetensors",
    "a 'quoted' \"name\".safetensors",
    "back\\slash.safetensors",
    "brackets [red]and[bold] {more}.safetensors",
    "line\nend.safetensors",
    "line\\nend.safetensors",
    "escape\x1b[31m\x07\x7f.safetensors",
    "half \udce9 character.safetensors",
    "right \u202eto left.safetensors",
    "percent %s %n {0}.safetensors",
    "stars * and ? marks.safetensors",
    "<b>bold<b> & more.safetensors",
    "'); DROP TABLE results; --.safetensors",
    "digits ٣٤ and ²³.safetensors",
    "9" * 230 + ".safetensors",
    "long " + "a" * 230 + ".safetensors",
    "UPPER.SAFETENSORS",
)
"""Names of sound files that are to be measured like any other."""

NOWHERE: tuple[str, ...] = (
    "a" * 300 + ".pt",
    "a/" * 3000 + "a.pt",
    "nul\0byte.pt",
    "line\nend.pt",
    "half \udce9 character.npz",
    "sound.safetensors/inside.pt",
    "~nobody/net.pt",
    "[",
    "[!",
    "**/" * 50 + "*.pt",
)
"""Paths at which nothing can be."""
