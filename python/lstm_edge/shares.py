"""Shares of starts: how far a share that was seen may lie from the true one."""

from __future__ import annotations

CONFIDENCE = 0.95
"""Of each end of an interval."""


def share_interval(share: float, starts: int) -> tuple[float, float]:
    """Between what the share among all starts may lie (Clopper & Pearson 1934).

    Of 8 starts none still allows a share of 31 %.

    Parameters
    ----------
    share : float
        Seen; NaN is known of nothing.
    starts : int
        Of which.
    """
    from scipy.stats import beta

    if share != share:
        return 0.0, 1.0
    hits = round(share * starts)
    low = beta.ppf(1 - CONFIDENCE, hits, starts - hits + 1) if hits else 0.0
    high = beta.ppf(CONFIDENCE, hits + 1, starts - hits) if hits < starts else 1.0
    return float(low), float(high)
