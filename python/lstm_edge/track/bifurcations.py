"""The kind of a transition, from the multipliers of the cycle that loses stability."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

NEAR = 0.05
"""How near the unit circle the leading multiplier must be: -ln|μ| / p, nats a step."""


def bifurcation_kind(multipliers: ArrayLike, period: int = 1) -> str:
    """Name the bifurcation that a fixed point or a cycle is about to undergo.

    Where the leading multiplier μ leaves the unit circle, order ends (Kuznetsov 2004,
    chapters 4 and 5): as a complex pair by a Neimark-Sacker bifurcation, at -1 by
    period doubling, at +1 by a fold. Where it is far inside, order did not end by
    losing stability: the attractor was hit by something else (a crisis), or the step of
    training was too long to see.

    Parameters
    ----------
    multipliers : array_like of complex
        Eigenvalues of DF^p on the ordered side of the transition, at least the leading
        one. Empty where they are not known.
    period : int
        p.

    Returns
    -------
    {"neimark_sacker", "period_doubling", "fold", "jump", ""}
    """
    values = np.asarray(multipliers, complex)
    if not values.size:
        return ""
    leading = values[np.argmax(np.abs(values))]
    if abs(leading) < np.exp(-NEAR * period):
        return "jump"
    if abs(leading.imag) > 1e-6 * abs(leading):
        return "neimark_sacker"
    return "fold" if leading.real > 0 else "period_doubling"
