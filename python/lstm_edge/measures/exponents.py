"""Lyapunov exponents and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.measures.cost import refuse_beyond_memory, tell_if_long
from lstm_edge.measures.drawing import with_errors
from lstm_edge.measures.phase import EXACT_ZERO, classify, zero_bias, zero_margin
from lstm_edge.measures.result import Result
from lstm_edge.measures.system import (
    core_call,
    count,
    initial_states,
    make_regime,
    positive,
)
from lstm_edge.measures.time_average import ensemble_error, time_average_error
from lstm_edge.net.reading import as_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum(Result):
    """Lyapunov exponents of an ensemble of starts, nats per step (or per unit of `dt`).

    Attributes
    ----------
    exponents : ndarray of shape (k,)
        Mean over the starts, in descending order; -inf is an answer (a direction that
        the map flattens), NaN means that an orbit left the finite numbers.
    stderr : ndarray of shape (k,)
        Standard error of `exponents`: from the spread over the starts, so that it holds
        for what random starts end on; of fewer than four starts, from
        `per_start_stderr`. 0 where all starts have the same exact exponent.
    per_start : ndarray of shape (starts, k)
        The same for each start, columns in the order of `exponents`. Of a start on a
        fixed point or a cycle, or that comes nearer to one as its multipliers say,
        ln|mu| / p: exact, where a time average still sees the way there.
    per_start_stderr : ndarray of shape (starts, k)
        From batches of the time axis, and from what its halves disagree by. A run sees
        no memory that is longer than an eighth of it.
    finite_time : ndarray of shape (starts, windows, k)
        Growth rates over consecutive windows of the measured steps, at most 32 of
        nearly equal length. A start that settles on a fixed point or a cycle soon after
        its inputs have ended, within 400 steps, is not followed further where the
        multipliers tell all k exponents: these are what all windows have.
    zero_margin : ndarray of shape (starts,)
        How far the largest exponent of a start must lie from 0 to have a sign.
    phase : {"order", "edge", "chaos", "undecided", "unknown"}
    chaotic_share : float
        Share of starts whose largest exponent is positive beyond its margin.
    interval : int
        Steps between two orthonormalisations.
    converged : bool or None
        Whether the error of the largest exponent came below `tolerance`; None where
        none was asked for.
    dimension : int
        Dimension n of the state.
    settings : dict
        The arguments that made it.
    """

    derived = (
        "kaplan_yorke_dimension",
        "kaplan_yorke_dimension_stderr",
        "ks_entropy",
        "ks_entropy_stderr",
        "contraction",
    )

    exponents: NDArray[np.float64]
    stderr: NDArray[np.float64]
    per_start: NDArray[np.float64]
    per_start_stderr: NDArray[np.float64]
    finite_time: NDArray[np.float64]
    zero_margin: NDArray[np.float64]
    phase: str
    chaotic_share: float
    interval: int
    dimension: int
    settings: dict[str, Any]
    converged: bool | None = None

    @property
    def kaplan_yorke_dimension(self) -> float:
        """Dimension j + (λ_1 + ... + λ_j) / |λ_{j+1}| (Kaplan & Yorke 1979).

        With j the largest number of exponents whose sum is not negative, where one that
        cannot be told from zero counts as zero: a torus has dimension 1, whatever sign
        its first exponent came out with. NaN when k < n and the sum has not fallen
        below zero within the k exponents: ask for more.
        """
        return self._kaplan_yorke(self.exponents)

    @property
    def kaplan_yorke_dimension_stderr(self) -> float:
        """Its standard error, by the jackknife over the windows of `finite_time`."""
        return self._jackknife(self._kaplan_yorke)

    @property
    def ks_entropy(self) -> float:
        """Sum of the positive exponents, nats per step (Pesin 1977, an upper bound).

        NaN when k < n and the last exponent is still positive: ask for more.
        """
        return self._entropy(self.exponents)

    @property
    def ks_entropy_stderr(self) -> float:
        """Its standard error, by the jackknife over the windows of `finite_time`."""
        return self._jackknife(self._entropy)

    def _kaplan_yorke(self, exponents: NDArray[np.float64]) -> float:
        if np.isnan(exponents).any():
            return float("nan")
        names = ("steps", "transient", "dt")
        margin = zero_margin(self.stderr, *(self.settings[name] for name in names))
        margin = np.where(self.stderr > 0, margin, EXACT_ZERO / self.settings["dt"])
        told = np.where(np.abs(self.exponents) <= margin, 0.0, exponents)
        order = np.argsort(-told, kind="stable")
        negative = np.cumsum(told[order]) < 0
        if not negative.any():
            j = len(exponents)
            return float(j) if j == self.dimension else float("nan")
        j = int(np.argmax(negative))
        ordered = exponents[order]
        return float(j + ordered[:j].sum() / abs(ordered[j]))

    def _entropy(self, exponents: NDArray[np.float64]) -> float:
        if len(exponents) < self.dimension and exponents.min() > 0:
            return float("nan")
        return float(exponents[~(exponents < 0)].sum())

    def _jackknife(self, function: Callable[[NDArray[np.float64]], float]) -> float:
        """Estimate the error from leaving out windows (Efron & Stein 1981)."""
        windows = self.finite_time.mean(axis=0)
        count = len(windows)
        if count < 2:
            return float("nan")
        left = np.array(
            [function(np.delete(windows, i, axis=0).mean(axis=0)) for i in range(count)]
        )
        return float(np.sqrt((count - 1) * left.var()))

    @property
    def contraction(self) -> float:
        """Sum of all exponents: the mean of ln|det J|; NaN when k < n."""
        if len(self.exponents) < self.dimension:
            return float("nan")
        return float(self.exponents.sum())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the exponents with two standard errors over their index.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: those of a new figure.

        Returns
        -------
        Axes
        """
        index = np.arange(1, len(self.exponents) + 1)
        title = f"Lyapunov spectrum: {self.phase}"
        ax = with_errors(ax, index, self.exponents, self.stderr, title)
        ax.set_xlabel("index")
        return ax

    def __repr__(self) -> str:
        """Return the leading exponents with their errors, and the phase."""
        shown = ", ".join(
            f"{value:.4g} ± {error:.2g}"
            for value, error in zip(self.exponents[:3], self.stderr[:3], strict=True)
        )
        more = ", ..." if len(self.exponents) > 3 else ""
        unit = "step" if self.settings["dt"] == 1 else "unit of time"
        return (
            f"LyapunovSpectrum([{shown}{more}] nats per {unit}, "
            f"k={len(self.exponents)} of {self.dimension}, "
            f"{len(self.per_start)} starts, phase={self.phase!r})"
        )


def lyapunov(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    k: int | None = None,
    steps: int = 2000,
    transient: int = 1000,
    starts: int = 8,
    initial_state: ArrayLike | None = None,
    interval: int | str = "auto",
    asymptotic: bool = True,
    closed_loop: bool = False,
    dt: float = 1.0,
    dtype: str = "float64",
    tolerance: float | None = None,
    limit: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    module: str | None = None,
    cancel: _core.Cancel | None = None,
) -> LyapunovSpectrum:
    """Lyapunov exponents of a recurrent net as a dynamical system in (h, c).

    Tangent vectors V (n, k) follow V <- J(s_t) V and are orthonormalised every q steps,
    V = Q R; the exponents are (1/T) sum ln R_ii (Benettin et al. 1980).

    Parameters
    ----------
    weights : Module, state_dict, dict of arrays, path or Weights
        As `lstm_edge.as_weights` takes it.
    inputs : array_like of shape (I,), (T, I) or (B, T, I), optional
        Constant input, one sequence that all starts read, or a batch of which every
        start reads one. Integers (T,) or (B, T) are tokens, where the net has an
        embedding. After T steps zeros follow. Default: zero input. With a drive that
        lasts through the measured steps the exponents are conditional ones (Vogt et al.
        2022); they may not straddle its end.
    k : int, optional
        How many, from the largest. Default: all n; 2 * sum(H) of an LSTM.
    steps : int
        Measured steps T, after the transient.
    transient : int
        Steps before them; the tangent frame turns along.
    starts : int
        Ensemble of initial states. Default starts are uniform in (-1, 1) in every
        component; for a batch of inputs each is the zero state with its own sequence,
        and only starts beyond the number of sequences are random again.
    initial_state : array_like of shape (n,) or (starts, n), optional
        In the order (h_1, c_1, ..., h_L, c_L); only an LSTM has c.
    interval : int or "auto"
        Steps q between orthonormalisations. "auto" chooses from the growth of the
        condition number so that exponents stay within 1e-8 of interval 1 (in float32:
        some 1e-4).
    asymptotic : bool
        Take the exponents of a start that is on a fixed point or a cycle, or comes
        nearer to one as its multipliers say, from these. False leaves the averages over
        the measured steps (n > 512 too).
    closed_loop : bool
        Feed the readout of the last state back as the input.
    dt : float
        Time of a step; exponents are divided by it.
    dtype : {"float64", "float32"}
    tolerance : float, optional
        Double `steps` until the standard error of the largest exponent, ``stderr[0]``,
        is below this, in the unit of the exponents; or until the errors of all starts
        are below a quarter of it, as then they end on several attractors, and more
        steps do not help. What is returned has the same bits as a plain call with
        ``settings["steps"]``.
    limit : int, optional
        Steps beyond which `tolerance` is given up. Default: 64 times `steps`.
    seed : int
        Of the starts and the first tangent frames.
    threads : int, optional
        Default: one a core; at most 256. Never changes a bit of the result.
    module : str, optional
        Which recurrent module, where there are several.
    cancel : lstm_edge._core.Cancel, optional
        Ends the call from another thread.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    CheckpointError
        Weights that cannot be used.
    UsageError
        An argument out of range.

    References
    ----------
    .. [1] G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15 (1980) 9.
    .. [2] R. Vogt, M. Puelma Touzel, E. Shlizerman, G. Lajoie, Front. Appl. Math.
       Stat. 8 (2022) 818799.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> lstm_edge.lyapunov(weights).exponents  # ln sigmoid(0) for c, and h is flat
    array([-0.69314718,        -inf])
    """
    steps = count("steps", steps)
    most = count("limit", min(64 * steps, 2**53) if limit is None else limit, steps)
    enough = None if tolerance is None else positive("tolerance", tolerance)
    found = as_weights(weights, module=module)
    regime = make_regime(found, inputs, closed_loop=closed_loop, dtype=dtype)
    states, starts = initial_states(
        found, initial_state, count("starts", starts), regime.dtype
    )
    settings: dict[str, Any] = {
        "source": found.source,
        "k": found.state_size if k is None else count("k", k),
        "steps": steps,
        "transient": count("transient", transient, 0),
        "starts": starts,
        "interval": interval,
        "asymptotic": asymptotic,
        "closed_loop": closed_loop,
        "dt": positive("dt", dt),
        "dtype": dtype,
        "seed": count("seed", seed, 0),
    }
    # of each start: states and growths of the batches
    refuse_beyond_memory("starts", 34 * starts * (found.state_size + settings["k"]))
    tell_if_long(
        "lyapunov",
        found,
        starts * (steps + settings["transient"]),
        vectors=settings["k"],
        threads=threads,
        k=settings["k"],
        starts=starts,
        steps=steps,
    )
    measure = partial(
        core_call,
        found,
        _core.lyapunov,
        regime.map,
        regime.sequences,
        initial_state=states,
        at_rest=regime.at_rest,
        interval=None if interval == "auto" else count("interval", interval),
        threads=None if threads is None else count("threads", threads),
        cancel=cancel,
        **{
            name: settings[name]
            for name in ("k", "transient", "starts", "asymptotic", "seed")
        },
    )
    while True:
        used = settings | {"steps": steps}
        spectrum = _spectrum(measure(steps=steps), found.state_size, used)
        if enough is None:
            return spectrum
        converged = bool(spectrum.stderr[0] <= enough)
        told = bool((spectrum.per_start_stderr[:, 0] <= enough / 4).all())
        if converged or told or steps >= most or np.isnan(spectrum.exponents[0]):
            return replace(spectrum, converged=converged)
        steps = min(2 * steps, most)


def _spectrum(
    measured: Any, dimension: int, settings: dict[str, Any]
) -> LyapunovSpectrum:
    """Make the result of what the core has measured with the settings."""
    steps, transient, dt = (settings[name] for name in ("steps", "transient", "dt"))
    per_start, batches, used, of_cycle = measured
    per_start, batches, of_cycle = per_start / dt, batches / dt, of_cycle / dt
    order = np.argsort(-per_start.mean(axis=0), kind="stable")
    per_start, batches = per_start[:, order], batches[..., order]
    exact = np.isfinite(of_cycle)
    per_start = np.where(exact, of_cycle, per_start)
    errors = np.where(exact, 0.0, time_average_error(batches))
    margin = zero_margin(errors[:, 0], steps, transient, dt)
    margin = np.where(exact[:, 0], EXACT_ZERO / dt, margin)
    bias = zero_bias(steps, transient, dt)
    phase, chaotic_share = classify(per_start[:, 0], margin, bias, exact[:, 0])
    return LyapunovSpectrum(
        exponents=per_start.mean(axis=0),
        stderr=ensemble_error(per_start, errors),
        per_start=per_start,
        per_start_stderr=errors,
        finite_time=batches,
        zero_margin=margin,
        phase=phase,
        chaotic_share=chaotic_share,
        interval=used,
        dimension=dimension,
        settings=settings,
    )
