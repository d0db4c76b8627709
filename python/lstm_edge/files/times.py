"""The time that a file's name tells: an update, an epoch, or a date."""

from __future__ import annotations

import re

_WORDS = (
    ("update", "updates"),
    ("step", "steps"),
    ("iter", "iteration", "iterations", "it"),
    ("epoch", "epochs", "ep", "e"),
)
"""Words before a time, the finest first."""

_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"(?:[-_T. ]?(?:[01]\d|2[0-3])([-_.:h]?)[0-5]\d(?:\2[0-5]\d)?)?(?!\d)"
)
_HASH = re.compile(
    r"(?<![a-z0-9])(?=[0-9a-f]{6})[0-9a-f]*(?:\d[a-f]+\d|[a-f]\d+[a-f])[0-9a-f]*"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
# whole numbers, or thousands (k) and millions (M), which may have a point: the 0.25 of
# "epoch3-loss0.25" is no time
_NUMBER = re.compile(
    r"(?:(?<![a-z0-9])(?P<word>[a-z]+)[-_= ]?)?"
    r"(?<!\d)(?<!\d\.)(?:(?P<whole>\d+)(?!\d|\.\d|[kM](?![a-z]))"
    r"|(?P<part>\d+(?:\.\d+)?)(?P<unit>[kM])(?![a-z]))",
    re.IGNORECASE,
)
_UNITS = {"k": 10**3, "m": 10**6}

MOST = 2**63
"""What a store can hold; a longer number is no update."""


def time_in_name(name: str) -> int | None:
    """Tell the time that a name without its suffix gives; None where it gives none.

    The number behind a word for updates, steps, iterations or epochs, in this order;
    else a date, as the number of its digits; else the last number that is no part of a
    hash. ``900k`` and ``1.5M`` are thousands and millions.

    Examples
    --------
    >>> [time_in_name(name) for name in ("epoch3_step90", "e5_h128", "ckpt_1.5M")]
    [90, 5, 1500000]
    >>> time_in_name("net_20240116_000500")
    20240116000500
    """
    name = _HASH.sub("", name)
    found = [
        ((match["word"] or "").lower(), time)
        for match in _NUMBER.finditer(name)
        if (time := _time(match)) < MOST
    ]
    for words in _WORDS:
        behind = [time for word, time in found if word in words]
        if behind:
            return behind[-1]
    if dates := [re.sub(r"\D", "", match[0]) for match in _DATE.finditer(name)]:
        return int(dates[-1].ljust(14, "0"))
    return found[-1][1] if found else None


def _time(match: re.Match[str]) -> int:
    if match["whole"]:
        return int(match["whole"])
    return round(float(match["part"]) * _UNITS[match["unit"].lower()])
