"""Attractors: what the starts of an ensemble end on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.measures.cost import refuse_beyond_memory, tell_if_long
from lstm_edge.measures.drawing import shares
from lstm_edge.measures.phase import phase_of_attractors
from lstm_edge.measures.result import Result
from lstm_edge.measures.system import (
    core_call,
    count,
    initial_states,
    make_regime,
    positive,
)
from lstm_edge.measures.time_average import ensemble_error
from lstm_edge.net.reading import as_weights
from lstm_edge.shares import share_interval
from lstm_edge.terms import ATTRACTORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Attractor:
    """One attractor, with those starts that end on it.

    Attributes
    ----------
    kind : {"fixed_point", "cycle", "torus", "chaos", "unbounded", "undecided"}
    period : int
        Of a fixed point (1) or a cycle, in steps; else 0.
    share : float
        Share of the starts: an estimate of the basin's fraction.
    exponent : float
        Mean of the largest exponent over those starts, nats per step.
    stderr : float
        Its standard error: from the spread over those starts, of fewer than four from
        their own.
    starts : tuple of int
        Which ones.
    """

    kind: str
    period: int
    share: float
    exponent: float
    stderr: float
    starts: tuple[int, ...]

    @property
    def name(self) -> str:
        """The kind in words, with the period of a cycle."""
        period = f" of {self.period}" if self.kind == "cycle" else ""
        return self.kind.replace("_", " ") + period


@dataclass(frozen=True, eq=False)
class Attractors(Result):
    """What every start ends on, and the attractors that this makes.

    Attributes
    ----------
    attractors : list of Attractor
        The largest share first.
    phase : {"order", "edge", "chaos", "undecided", "unknown"}
        Order when all starts end on fixed points or cycles that attract, chaos when at
        least half end in chaos, edge when some end on a torus, on a neutral fixed point
        or in chaos; undecided where starts that cannot be told could change that;
        unknown when an orbit left the finite numbers, or grows for ever.
    kind : list of str
        Of each start, as the next ones.
    period : ndarray of shape (starts,)
        Of a fixed point (1) or a cycle; else 0.
    exponent, stderr : ndarray of shape (starts,)
        The largest exponent, nats per step.
    zero_margin : ndarray of shape (starts,)
        How far it must lie from 0 to have a sign.
    zero_one : ndarray of shape (starts,)
        K of the 0-1 test, near 0 for regular motion and near 1 for chaos; NaN where the
        start returns.
    steps : ndarray of shape (starts,)
        What it took to tell, transient and all.
    states : ndarray of shape (starts, n)
        The last state, in the order (h_1, c_1, ...).
    means : ndarray of shape (starts, n)
        The state averaged over time, on a cycle over exactly one period.
    multipliers : ndarray of shape (starts, n), complex
        Eigenvalues of DF^p at the fixed point or cycle that Newton's method found, by
        descending modulus; NaN where a start ends on none.
    settings : dict
        The arguments that made it.
    """

    derived = (
        "shares",
        "chaotic_share",
    )

    attractors: list[Attractor]
    phase: str
    kind: list[str]
    period: NDArray[np.int64]
    exponent: NDArray[np.float64]
    stderr: NDArray[np.float64]
    zero_margin: NDArray[np.float64]
    zero_one: NDArray[np.float64]
    steps: NDArray[np.int64]
    states: NDArray[np.floating[Any]]
    means: NDArray[np.float64]
    multipliers: NDArray[np.complex128]
    settings: dict[str, Any]

    @property
    def weakest(self) -> Attractor | None:
        """The fixed point or cycle with the largest exponent; None without any."""
        ordered = [a for a in self.attractors if a.period > 0]
        return max(ordered, key=lambda a: a.exponent, default=None)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the starts for each kind."""
        return {kind: self.kind.count(kind) / len(self.kind) for kind in ATTRACTORS}

    @property
    def share_intervals(self) -> dict[str, tuple[float, float]]:
        """Between what each share among all starts may lie, each end at 95 %."""
        number = len(self.kind)
        return {k: share_interval(share, number) for k, share in self.shares.items()}

    @property
    def chaotic_share(self) -> float:
        """Share of the starts that end in chaos."""
        return self.shares["chaos"]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the share of the starts that end on each attractor.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: those of a new figure.

        Returns
        -------
        Axes
        """
        parts = [
            (f"{i + 1}: {a.kind.replace('_', ' ')}", a.share, a.kind)
            for i, a in enumerate(self.attractors)
        ]
        return shares(ax, parts, f"attractors: {self.phase}")

    def __repr__(self) -> str:
        """Return the attractors with their shares, and the phase."""
        shown = ", ".join(
            f"{a.share:.0%} {a.kind}"
            + (f" of period {a.period}" if a.kind == "cycle" else "")
            for a in self.attractors[:4]
        )
        more = len(self.attractors) - 4
        rest = f", {more} more" if more > 0 else ""
        return f"Attractors({shown}{rest}; phase={self.phase!r})"


def attractors(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    steps: int = 2000,
    transient: int = 1000,
    limit: int = 16_000,
    starts: int = 32,
    initial_state: ArrayLike | None = None,
    tolerance: float = 1e-6,
    closed_loop: bool = False,
    dtype: str = "float64",
    seed: int = 0,
    threads: int | None = None,
    module: str | None = None,
    cancel: _core.Cancel | None = None,
) -> Attractors:
    """Classify what an ensemble of starts ends on, and merge what is the same.

    First of all Newton's method looks for the fixed point or cycle (n <= 512, period
    <= 64) that a start is on, or comes nearer to as its multipliers mu say: inside the
    unit circle it ends there, however slowly, and ln|mu| / p is its exponent. A start
    that comes back within 400 steps after its inputs is told by then. For any other
    start, in this order: whether it returns to an earlier state (bit for bit,
    or within a tolerance); the largest exponent λ with the margin m within which a run
    of this length cannot tell it from zero; the 0-1 test K (Gottwald & Melbourne 2009).

    =================== ======= ========================= ============================
    kind                returns λ                         besides
    =================== ======= ========================= ============================
    fixed point, cycle  yes     < -m; bit for bit: <= m
    torus               no      within m of 0             K < 1/2, the size is steady
    chaos               no      > m                       K > 1/2, or λ > 3 m
    =================== ======= ========================= ============================

    A state that grows at a steady pace is unbounded. Whatever fits none of these is
    followed for twice as long, up to a limit, and is undecided then. Chaos must outlast
    two looks, as it may be a transient. A torus needs a look of at least half the
    limit, or weighted Birkhoff averages [3]_ over two windows by which place and size
    of the motion change by less than 1e-7 a step, and a tangent vector on it grows by
    less than 3e-6. Starts are on the same attractor when their time averages of all x
    and x² agree, over a period or within six standard errors; undecided ones are put
    together.

    Parameters
    ----------
    weights, inputs, starts, initial_state, closed_loop, dtype, threads, module, cancel
        As in `lyapunov`. The map must be autonomous once the transient ends: a sequence
        only picks the starts.
    steps : int
        Of the first look, after the transient; each further one is twice as long.
    transient : int
        Steps before it.
    limit : int
        Steps of the longest look.
    tolerance : float
        How near a return must come, relative to 1 + |x|. In float32 take 1e-4.
    seed : int
        Of the starts, the tangent vectors and the frequencies of the 0-1 test.

    Returns
    -------
    Attractors

    Raises
    ------
    CheckpointError
        Weights that cannot be used.
    UsageError
        An argument out of range, or inputs that outlast the transient.

    References
    ----------
    .. [1] R. P. Brent, BIT 20 (1980) 176.
    .. [2] G. A. Gottwald, I. Melbourne, SIAM J. Appl. Dyn. Syst. 8 (2009) 129.
    .. [3] S. Das et al., Nonlinearity 30 (2017) 4111.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> lstm_edge.attractors(weights)
    Attractors(100% fixed_point; phase='order')
    """
    found = as_weights(weights, module=module)
    regime = make_regime(found, inputs, closed_loop=closed_loop, dtype=dtype)
    given, starts = initial_states(
        found, initial_state, count("starts", starts), regime.dtype
    )
    # a signal and the growth of every step of a look
    refuse_beyond_memory("limit", 4 * starts * count("limit", limit))
    tell_if_long(
        "attractors",
        found,
        starts * (count("steps", steps) + count("transient", transient, 0)),
        vectors=1,
        threads=threads,
        starts=starts,
        steps=steps,
        transient=transient,
    )
    kind, counts, numbers, states, averages, multipliers = core_call(
        found,
        _core.attractors,
        regime.map,
        regime.sequences,
        steps=count("steps", steps),
        transient=count("transient", transient, 0),
        limit=count("limit", limit),
        tolerance=positive("tolerance", tolerance),
        starts=starts,
        initial_state=given,
        at_rest=regime.at_rest,
        seed=count("seed", seed, 0),
        threads=None if threads is None else count("threads", threads),
        cancel=cancel,
    )
    period, taken, same_as = counts.T
    exponent, stderr, margin, zero_one = numbers.T
    members = [np.flatnonzero(same_as == first) for first in np.unique(same_as)]
    merged = [
        Attractor(
            kind=kind[starts_of[0]],
            period=int(period[starts_of[0]]),
            share=len(starts_of) / starts,
            exponent=float(exponent[starts_of].mean()),
            stderr=float(ensemble_error(exponent[starts_of], stderr[starts_of])),
            starts=tuple(starts_of.tolist()),
        )
        for starts_of in members
    ]
    return Attractors(
        attractors=sorted(merged, key=lambda a: -a.share),
        phase=phase_of_attractors(kind, exponent),
        kind=kind,
        period=period,
        exponent=exponent,
        stderr=stderr,
        zero_margin=margin,
        zero_one=zero_one,
        steps=taken,
        states=states,
        means=averages[:, : found.state_size],
        multipliers=multipliers,
        settings={
            "source": found.source,
            "steps": steps,
            "transient": transient,
            "limit": limit,
            "starts": starts,
            "tolerance": tolerance,
            "closed_loop": closed_loop,
            "dtype": dtype,
            "seed": seed,
        },
    )
