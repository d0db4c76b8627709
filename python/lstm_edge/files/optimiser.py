"""What a checkpoint keeps of its optimiser: the gradients that Adam has met.

Adam keeps an average v of the squared gradient of each weight (Kingma & Ba 2015). The
norm of its square root, sqrt(Σ v / (1 - β₂^t)), is that of the gradients of late. At
many a fall of the loss the gradients that come are far larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

KEYS = ("optimizer_states", "optimizer_state_dict", "optimizer", "optimizer_state")
"""Where Lightning, and people who write their own loop, keep the states."""


def moment_norm(saved: dict[Any, Any], array: Callable[[Any], Any]) -> float | None:
    """Give the norm of the gradients by Adam's second moment; None where it is none.

    Parameters
    ----------
    saved : dict
        What torch.save was given.
    array : callable
        Gives the numbers of a tensor in it.
    """
    total = [
        float(np.sum(array(state["exp_avg_sq"]), dtype=np.float64))
        / (1 - beta ** _step(state, array))
        for beta, state in _states(saved)
    ]
    norm = math.sqrt(sum(total)) if total and min(total) >= 0 else math.nan
    return norm if math.isfinite(norm) else None


def _states(saved: dict[Any, Any]) -> Iterator[tuple[float, dict[Any, Any]]]:
    """Give β₂ and the state of every tensor that Adam has updated."""
    for key in KEYS:
        found = saved.get(key)
        for state in found if isinstance(found, list) else [found]:
            if isinstance(state, dict) and isinstance(state.get("state"), dict):
                for beta, one in _of_groups(state):
                    if isinstance(one, dict) and {"exp_avg_sq", "step"} <= one.keys():
                        yield beta, one


def _of_groups(state: dict[Any, Any]) -> Iterator[tuple[float, Any]]:
    for group in state.get("param_groups") or ():
        for name in group.get("params", ()):
            yield float(group["betas"][1]), state["state"].get(name)


def _step(state: dict[Any, Any], array: Callable[[Any], Any]) -> float:
    step = state["step"]
    return max(float(step if isinstance(step, int | float) else array(step)), 1.0)
