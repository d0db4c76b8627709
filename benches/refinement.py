"""How often a refining sweep finds what the full one does, on made-up series of phases.

For each kind of series: the share of those whose sustained transitions come out with
other brackets or edges, the share with another number of them, and the share of the
checkpoints that were visited:

    python benches/refinement.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstm_edge.sweep.visiting import until_certain
from lstm_edge.track.refinement import infer_phases
from lstm_edge.track.transitions import find_transitions

SEEDS = 100
COUNT = 1000

Random = np.random.Generator


def planted(
    random: Random, shortest: int, longest: int, edge: int, flicker: float
) -> list[str]:
    """Order and chaos in turn, with edges between them, and flicker inside."""
    phases: list[str] = []
    while len(phases) < COUNT:
        kind = ("order", "chaos")[len(phases) > 0 and phases[-1] != "chaos"]
        inside = np.full(random.integers(shortest, longest), kind, object)
        inside[random.random(len(inside)) < flicker] = "edge"
        between = random.choice(["order", "edge", "chaos"], random.integers(0, edge))
        phases += [*inside, *between]
    return phases[:COUNT]


def walked(random: Random, noise: float) -> list[str]:
    """An exponent that wanders, measured with noise; near zero is the edge."""
    steps = np.convolve(random.normal(size=COUNT + 50), np.ones(50) / 50, "valid")
    exponent = np.cumsum(steps[:COUNT]) / 10 + noise * random.normal(size=COUNT)
    return ["edge" if abs(x) < 0.1 else "chaos" if x > 0 else "order" for x in exponent]


KINDS: dict[str, Callable[[Random], list[str]]] = {
    "phases of 120 to 400, edges up to 15": lambda r: planted(r, 120, 400, 15, 0.0),
    "the same, edges up to 40": lambda r: planted(r, 120, 400, 40, 0.0),
    "the same, 10 % edge inside phases": lambda r: planted(r, 120, 400, 15, 0.1),
    "the same, 20 % edge inside phases": lambda r: planted(r, 120, 400, 15, 0.2),
    "phases of 40 to 120": lambda r: planted(r, 40, 120, 15, 0.0),
    "phases of 20 to 60": lambda r: planted(r, 20, 60, 15, 0.0),
    "an exponent that wanders, little noise": lambda r: walked(r, 0.05),
    "an exponent that wanders, much noise": lambda r: walked(r, 0.3),
}


def sustained(phase: list[str]) -> list[object]:
    found = find_transitions(range(len(phase)), phase, np.full(len(phase), np.nan))
    return [(t.direction, t.bracket, t.span) for t in found if t.sustained]


def main() -> None:
    print(f"{'series':42}  differ  number  visited")
    for kind, make in KINDS.items():
        differ, number, visited = 0, 0, 0
        for seed in range(SEEDS):
            truth = make(np.random.default_rng(seed))
            known: dict[int, str] = {}
            for i in until_certain(len(truth), known):
                assert i is not None
                known[i] = truth[i]
            inferred = infer_phases([known.get(i) for i in range(len(truth))])
            found, whole = sustained([p or "" for p in inferred]), sustained(truth)
            differ += found != whole
            number += len(found) != len(whole)
            visited += len(known)
        print(
            f"{kind:42}  {differ / SEEDS:5.0%}  {number / SEEDS:6.0%}"
            f"  {visited / SEEDS / COUNT:7.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
