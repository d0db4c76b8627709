"""What lives in nets that others trained: a line of a table for each.

python examples/gallery.py model.safetensors two_nets.npz=encoder

A file with several nets needs the name of one. The net begins in 32 random states and
runs under zero input; lstm_edge.silence has the definitions.
"""

import sys
from collections.abc import Sequence

import numpy as np

import lstm_edge


def line(given: str) -> str:
    """Give a net's line: what it is, and what it does in silence."""
    path, _, module = given.partition("=")
    weights = lstm_edge.as_weights(path, module=module or None)
    found = lstm_edge.silence(weights)
    ends = found.attractors
    shown = [f"{a.share:.0%} {a.name}" for a in ends.attractors[:3]]
    more = [f"{len(ends.attractors) - 3} more"] * (len(ends.attractors) > 3)
    largest = max(ends.attractors, key=lambda a: a.exponent)
    settled = found.settling[np.isfinite(found.settling)]
    wait = f"{np.median(settled):,.0f}" if len(settled) else ""
    exponent = f"{largest.exponent:.3g} ± {largest.stderr:.1g}"
    cells = [path, weights.architecture, ", ".join(shown + more), exponent, wait]
    return f"| {' | '.join(cells)} |"


def main(files: Sequence[str]) -> None:
    """Print the table."""
    print("| file | net | ends on | largest exponent | steps to 1 % |")
    print("| --- | --- | --- | --- | --- |")
    for file in files:
        print(line(file))


if __name__ == "__main__":
    main(sys.argv[1:])
