"""A sweep whose checkpoints are measured by other processes.

Any concurrent.futures.Executor will do: that of a Dask cluster is
``distributed.Client(address).get_executor()``, that of MPI
``mpi4py.futures.MPIPoolExecutor()``. One process writes the store, so the sweep resumes
like any other.

python examples/on_a_cluster.py runs/digits
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import lstm_edge


def main(checkpoints: str, workers: int = 2) -> lstm_edge.Sweep:
    """Analyse a run or a folder of checkpoints, and print what was found."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        sweep = lstm_edge.analyze(checkpoints, executor=executor)
    print(sweep)
    print(sweep.advice.reason)
    return sweep


if __name__ == "__main__":
    main(sys.argv[1])
