"""Types of the compiled core; `lstm_edge.measures` is its documented face."""

from collections.abc import Sequence
from typing import Any, final

from numpy import complex128, float64, int64
from numpy.typing import NDArray

__all__ = [
    "Cancel",
    "StateMap",
    "__version__",
    "asymptotic_distance",
    "attractors",
    "frames",
    "lyapunov",
    "orbit",
    "perturbation",
    "push",
    "tangent_frame",
    "vector_units",
]

__version__: str

@final
class Cancel:
    def __new__(cls) -> Cancel: ...
    def cancel(self) -> None: ...

@final
class StateMap:
    @staticmethod
    def net(
        cell: str,
        layers: Sequence[tuple[NDArray[Any] | None, ...]],
        constant: NDArray[Any] | None = None,
        readout: tuple[NDArray[Any], NDArray[Any]] | None = None,
        *,
        double: bool,
    ) -> StateMap: ...
    @staticmethod
    def tanh(r: float) -> StateMap: ...
    @property
    def dim(self) -> int: ...

def lyapunov(
    map: StateMap,
    inputs: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None,
    *,
    k: int,
    steps: int,
    transient: int,
    starts: int,
    initial_state: NDArray[Any] | None,
    at_rest: bool,
    interval: int | None,
    asymptotic: bool,
    seed: int,
    threads: int | None = None,
    vector_unit: str | None = None,
    cancel: Cancel | None = None,
) -> tuple[NDArray[float64], NDArray[float64], int, NDArray[float64]]: ...
def frames(
    map: StateMap,
    inputs: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None,
    *,
    k: int,
    transient: int,
    count: int,
    interval: int,
    initial_state: NDArray[Any] | None,
    at_rest: bool,
    seed: int,
    vector_unit: str | None = None,
    cancel: Cancel | None = None,
) -> tuple[NDArray[float64], NDArray[float64], NDArray[float64]]: ...
def attractors(
    map: StateMap,
    inputs: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None,
    *,
    steps: int,
    transient: int,
    limit: int,
    tolerance: float,
    starts: int,
    initial_state: NDArray[Any] | None,
    at_rest: bool,
    seed: int,
    threads: int | None = None,
    vector_unit: str | None = None,
    cancel: Cancel | None = None,
) -> tuple[
    list[str],
    NDArray[int64],
    NDArray[float64],
    NDArray[Any],
    NDArray[float64],
    NDArray[complex128],
]: ...
def asymptotic_distance(
    map: StateMap,
    inputs: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None,
    *,
    steps: int,
    noise: float,
    samples: int,
    floor: float,
    seed: int,
    precision: float | None = None,
    threads: int | None = None,
    vector_unit: str | None = None,
    cancel: Cancel | None = None,
) -> tuple[NDArray[float64], NDArray[float64]]: ...
def orbit(
    map: StateMap,
    inputs: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None,
    *,
    steps: int,
    transient: int,
    starts: int,
    initial_state: NDArray[Any] | None,
    at_rest: bool,
    seed: int,
    threads: int | None = None,
    vector_unit: str | None = None,
    cancel: Cancel | None = None,
) -> NDArray[Any]: ...
def tangent_frame(n: int, k: int, seed: int, start: int) -> NDArray[float64]: ...
def perturbation(
    count: int, noise: float, seed: int, sample: int
) -> NDArray[float64]: ...
def vector_units() -> list[str]: ...
def push(
    map: StateMap, state: NDArray[Any], vectors: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]: ...
