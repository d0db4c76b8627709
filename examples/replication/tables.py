"""Tables of the replication: what its studies found, from their stores.

python examples/replication/tables.py studies/small studies/end --csv docs/replication

prints the tables of docs/replication.md, and writes a row a run and a row a fall.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas

import lstm_edge
from lstm_edge.lab.studies.results import open_study
from lstm_edge.lab.studies.tables import claim_table, fall_table
from lstm_edge.track.anatomy import tell


def first(transitions, direction):
    """Epoch of the first transition that lasts; NaN without any."""
    found = [t.epoch for t in transitions if t.direction == direction and t.sustained]
    return found[0] if found else np.nan


def row_of_run(study, run, track):
    """Positions, losses and answers of a run."""
    loss = track.test_loss
    best = int(np.nanargmin(loss))
    row = {"study": study, **run.setting, "seed": run.seed}
    row |= {"checkpoints": run.checkpoints, "best_epoch": track.epoch[best]}
    row |= {"best_test_loss": loss[best], "last_test_loss": loss[-1]}
    stability = track.stability_transitions
    row |= {"loss_of_stability": first(stability, "to_unstable")}
    row |= {"onset_of_chaos": first(track.transitions, "to_chaos")}
    row |= {"falls": len(track.anatomies)}
    lasting = [t for t in [*track.transitions, *stability] if t.sustained]
    row |= {"sustained_transitions": len(lasting)}
    return row | {claim.label: claim.answer for claim in run.claims}


def row_of_fall(study, run, found):
    """What goes with a fall of the test loss."""
    row = {"study": study, **run.setting, "seed": run.seed, "epoch": found.epoch}
    row |= {"high": found.fall.high, "low": found.fall.low}
    for when, net in (("before", found.before), ("after", found.after)):
        row |= {f"{when}_phase": net and net.phase}
        row |= {f"{when}_exponent": net and net.exponent}
    row |= {"stability": found.stability, "jumped": found.jumped, "walk": found.walk}
    return row | {f"{name}_spike": size for name, size in found.spikes.items()}


def markdown(title, table):
    header, rows = table
    cells = [header, ["---"] * len(header), *rows]
    print(
        f"\n{title}\n",
        *("| " + " | ".join(map(str, row)) + " |" for row in cells),
        sep="\n",
    )


def middle(values):
    """Median and range of those that are known, and how many are not."""
    known = values[np.isfinite(values)]
    none = f"; none in {len(values) - len(known)}" if len(known) < len(values) else ""
    if not len(known):
        return f"none in {len(values)}"
    return f"{np.median(known):.4g} ({known.min():.4g} to {known.max():.4g}){none}"


def main(studies, csv=None):
    """Print the tables of some studies, and write their rows."""
    runs, falls = [], []
    for folder in studies:
        study = open_study(folder)
        name = Path(folder).name
        print(f"\n### {name}: {len(study.done)} of {len(study.runs)} runs are done")
        mine, found, losses = [], [], []
        for run in study.done:
            track = lstm_edge.open_sweep(run.folder).track
            mine.append(row_of_run(name, run, track))
            found += track.anatomies
            losses.append(track.test_loss)
            falls += [row_of_fall(name, run, one) for one in track.anatomies]
        runs += mine
        if not mine:
            continue
        table = pandas.DataFrame(mine)
        positions = [
            [words, middle(table[column].to_numpy(float))]
            for words, column in {
                "best test loss, epoch": "best_epoch",
                "best test loss": "best_test_loss",
                "last test loss": "last_test_loss",
                "first loss of stability, epoch": "loss_of_stability",
                "first onset of chaos, epoch": "onset_of_chaos",
                "later falls of the test loss": "falls",
            }.items()
        ]
        markdown("Positions", (["of the runs", "median (range)"], positions))
        markdown("Claims", claim_table(study.groups[0]))
        markdown("Falls", fall_table(study.groups[0]))
        print("\n" + tell(found, np.concatenate(losses)))
    if csv is not None:
        Path(csv).mkdir(parents=True, exist_ok=True)
        plain = {"index": False, "float_format": "%.6g"}
        pandas.DataFrame(runs).to_csv(Path(csv) / "runs.csv", **plain)
        pandas.DataFrame(falls).to_csv(Path(csv) / "falls.csv", **plain)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--csv")
    main(**vars(parser.parse_args()))
