"""Libraries that only some users need: loaded when used, and named when missing."""

from __future__ import annotations

import importlib
from typing import Any

from lstm_edge.errors import LstmEdgeError


class MissingExtra(LstmEdgeError, ImportError):
    """A library of an optional extra is not installed, or cannot be loaded."""


def load(extra: str, *names: str) -> Any:
    """Import the first of some modules that is there.

    Parameters
    ----------
    extra : str
        The extra that brings it.
    *names : str
        Modules, the preferred one first.

    Raises
    ------
    MissingExtra
        If none can be imported; it says which extra to install.
    """
    reasons = []
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reasons.append(str(error))
    raise MissingExtra(
        f"{' or '.join(names)}: expected it installed, found that it cannot be loaded "
        f"({'; '.join(reasons)}): pip install 'lstm-edge[{extra}]'"
    )
