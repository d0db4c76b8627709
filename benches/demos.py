"""What the demo's seeds have in common: a row for each run folder that is given.

python benches/demos.py demo-0 demo-1
"""

from __future__ import annotations

import sys

import lstm_edge

HEADS = (
    *("Run", "Analysed", "First loss of stability", "First onset of chaos"),
    *("Best at epoch", "Best test loss", "Later falls", "Claim 1"),
    *("Claim 3, chaos", "Claim 3, stability", "Claim 4, chaos", "Claim 4, stability"),
)


def first(transitions, direction: str) -> str:
    """Epoch of the first transition that lasts."""
    found = [t for t in transitions if t.direction == direction and t.sustained]
    return f"{found[0].epoch:.0f}" if found else "none"


def best_epoch(sweep) -> float:
    place = list(sweep.track.update).index(sweep.advice.best_update)
    return float(sweep.track.epoch[place])


def row(folder: str) -> list[str]:
    sweep = lstm_edge.open_sweep(folder)
    claims = {(c.number, c.yardstick): c for c in sweep.claims}
    answers = [(1, ""), (3, "chaos"), (3, "stability"), (4, "chaos"), (4, "stability")]
    return [
        folder.rstrip("/").rpartition("/")[2],
        str(len(sweep.table["update"])),
        first(sweep.track.stability_transitions, "to_unstable"),
        first(sweep.transitions, "to_chaos"),
        f"{best_epoch(sweep):.0f}",
        f"{sweep.advice.best_test_loss:.3f}",
        str(claims[1, ""].numbers["falls"]),
        *(claims[key].answer for key in answers),
    ]


def main() -> None:
    for cells in (HEADS, ["---"] * len(HEADS), *map(row, sys.argv[1:])):
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
