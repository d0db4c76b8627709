"""What lives in nets that others trained: a line of a table for each, and a figure.

python examples/gallery.py --figure gallery.png model.safetensors two_nets.npz=encoder

A file with several nets needs the name of one. The net begins in 32 random states and
runs under zero input; lstm_edge.silence has the definitions. The figure shows how far h
is from its mean on the attractor that each of eight starts ends on.
"""

import argparse
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

import lstm_edge

STEPS, SHOWN = 2000, 8


def line(given: str, weights, found) -> str:
    """Give a net's line: what it is, and what it does in silence."""
    ends = found.attractors
    shown = [f"{a.share:.0%} {a.name}" for a in ends.attractors[:3]]
    more = [f"{len(ends.attractors) - 3} more"] * (len(ends.attractors) > 3)
    largest = max(ends.attractors, key=lambda a: a.exponent)
    settled = found.settling[np.isfinite(found.settling)]
    wait = f"{np.median(settled):,.0f}" if len(settled) else ""
    exponent = f"{largest.exponent:.3g} ± {largest.stderr:.1g}"
    name = given.replace("=", ", ")
    cells = [name, weights.architecture, ", ".join(shown + more), exponent, wait]
    return f"| {' | '.join(cells)} |"


def draw(ax, given: str, weights, found) -> None:
    """Draw how far h is from where it ends, start by start."""
    walk = lstm_edge.orbit(
        weights, steps=STEPS, transient=0, starts=SHOWN, dtype="float64"
    )
    cells = []  # which numbers of the state are h
    for h, c in zip(walk.hidden_sizes, walk.cell_sizes, strict=True):
        cells += [True] * h + [False] * c
    means = found.attractors.means[:SHOWN, np.array(cells)]
    apart = np.linalg.norm(walk.hidden - means[:, None], axis=-1)
    ax.loglog(np.arange(1, STEPS + 1), apart.T, linewidth=0.8)
    ax.set_ylim(1e-6, 30)
    ax.set_title(f"{given}\n{found.attractors.attractors[0].name}", fontsize=8)


def main(files: Sequence[str], figure: str | None = None) -> None:
    """Print the table, and draw the figure."""
    print("| file | net | ends on | largest exponent | steps to 1 % |")
    print("| --- | --- | --- | --- | --- |")
    rows = -(-len(files) // 4)
    canvas, axes = plt.subplots(
        rows, min(4, len(files)), figsize=(12, 2.6 * rows), squeeze=False,
        sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    for ax, file in zip(axes.flat, files, strict=False):
        path, _, module = file.partition("=")
        weights = lstm_edge.as_weights(path, module=module or None)
        found = lstm_edge.silence(weights)
        print(line(file, weights, found))
        draw(ax, file, weights, found)
    canvas.supxlabel("steps in silence")
    canvas.supylabel("distance of h from where it ends")
    if figure is not None:
        canvas.savefig(figure, dpi=70)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--figure")
    main(**vars(parser.parse_args()))
