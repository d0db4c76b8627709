"""What a call takes: memory beyond what there is is refused, a long time is told."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from lstm_edge.errors import UsageError
from lstm_edge.net.weights import Weights

LONG = 60.0
"""Seconds beyond which a call says what it will take."""

_RATE = 5e9
"""Products a second and core: that of `lyapunov` at H = 60 to 512 on an AMD EPYC."""

_LOG = logging.getLogger("lstm_edge")

_CONTAINER = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
"""Where Linux tells how much memory a container may have."""


def refuse_beyond_memory(name: str, numbers: int) -> None:
    """Refuse what would take more memory than the machine, or a limit, leaves.

    Parameters
    ----------
    name : str
        The argument to blame.
    numbers : int
        How many float64 it asks for.

    Raises
    ------
    UsageError
    """
    memory = _memory()
    if memory and 8 * numbers > memory:
        raise UsageError(
            f"{name}: asks for {8 * numbers / 2**30:.1f} GiB, this process may have "
            f"{memory / 2**30:.1f}; take fewer"
        )


def _memory() -> int | None:
    """Tell the bytes that this process may have; None where nothing tells."""
    told = []
    with suppress(AttributeError, OSError, ValueError):
        told.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit in _CONTAINER:
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            told.append(int(Path(limit).read_text()))
    with suppress(ImportError, OSError):  # Windows has no limits
        import resource

        told.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min((size for size in told if size > 0), default=None)


def available_cores() -> int:
    """Count the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def tell_if_long(
    name: str,
    weights: Weights,
    each: int,
    /,
    *,
    vectors: int = 0,
    threads: int | None = None,
    **of_what: int,
) -> None:
    """Say, once, about how long a call will take, where that is more than a minute.

    Every step of every state, and of every tangent vector with it, costs a product for
    each weight. Logged as a warning, which Python prints by itself.

    Parameters
    ----------
    name : str
        Of the function.
    weights : Weights
    each : int
        Steps of all states together.
    vectors : int
        Tangent vectors of each.
    threads : int, optional
        Default: the cores.
    **of_what : int
        The arguments that it grows with.
    """
    cores = threads or available_cores()
    products = each * (1 + vectors) * sum(array.size for array in weights.arrays())
    seconds = products / (_RATE * cores)
    if seconds > LONG:
        given = ", ".join(f"{key} = {value:,}" for key, value in of_what.items())
        _say_once(
            f"{name}: takes up to about {_duration(seconds)} on {cores} cores with "
            f"{given}; less of any takes less"
        )


@lru_cache(maxsize=64)
def _say_once(text: str) -> None:
    _LOG.warning(text)


def _duration(seconds: float) -> str:
    for unit, name in ((86400.0, "days"), (3600.0, "hours")):
        if seconds > 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds / 60:.0f} minutes"
