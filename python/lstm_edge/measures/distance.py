"""The asymptotic distance of Wei et al. 2025."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.measures.cost import refuse_beyond_memory, tell_if_long
from lstm_edge.measures.result import Result
from lstm_edge.measures.system import (
    core_call,
    count,
    make_regime,
    positive,
)
from lstm_edge.net.reading import as_weights


@dataclass(frozen=True, eq=False)
class AsymptoticDistance(Result):
    """ln of the distance that two trajectories from nearby starts end up with.

    Attributes
    ----------
    value : float
        Mean over the samples, D~. Near ln(floor) = -15 in order, -10 to 0 in chaos;
        a torus, a lagged cycle or a second attractor also leaves a finite distance.
    stderr : float
        Standard error of `value` over the samples.
    per_sample : ndarray of shape (samples,)
        ln D_s; NaN where an orbit left the finite numbers.
    observable : ndarray of shape (samples,)
        Sum of the top layer's h_T, of the unperturbed copy: the orbit diagram's dots.
    settings : dict
        The arguments that made it.
    """

    value: float
    stderr: float
    per_sample: NDArray[np.float64]
    observable: NDArray[np.float64]
    settings: dict[str, Any]

    def __repr__(self) -> str:
        """Return D~ with its error."""
        return (
            f"AsymptoticDistance({self.value:.4g} ± {self.stderr:.2g}, "
            f"{len(self.per_sample)} samples)"
        )


def asymptotic_distance(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    steps: int = 1599,
    noise: float = 1e-3,
    samples: int = 500,
    precision: float | None = None,
    floor: float = math.exp(-15),
    closed_loop: bool = False,
    dtype: str = "float32",
    seed: int = 0,
    threads: int | None = None,
    module: str | None = None,
    cancel: _core.Cancel | None = None,
) -> AsymptoticDistance:
    """Asymptotic distance D~ of two trajectories that start close together.

    Two copies of the net start from h = 0 and h = delta (Gaussian), with c = 0, and
    read the same input, then zeros. D_s = |h'_T - h_T|_2 + floor, and D~ is the mean of
    ln D_s [1]_.

    Parameters
    ----------
    weights : Module, state_dict, dict of arrays, path or Weights
        As `lstm_edge.as_weights` takes it.
    inputs : array_like of shape (I,), (T, I) or (B, T, I), optional
        Constant input, one sequence, or a batch: then sample s reads sequence s, and
        there are no more samples than sequences. Integers (T,) or (B, T) are tokens,
        where the net has an embedding. Default: zero input.
    steps : int
        All steps T, those of the inputs included.
    noise : float
        Standard deviation of delta in each component of h.
    samples : int
        Pairs of trajectories, at most.
    precision : float, optional
        Standard error that is enough: looked at after 128, 256, ... samples, the first
        ones of those that `samples` asks for. Default: all are taken. Where samples end
        on several attractors, 128 of them miss one that draws a hundredth of the starts
        one time in four.
    floor : float
        Added to every distance.
    closed_loop : bool
        Feed the readout back as the next input; takes no `inputs`.
    dtype : {"float32", "float64"}
        float32 is what training computes in.
    seed : int
        Of the perturbations.
    threads : int, optional
        Default: one a core; at most 256. Never changes a bit of the result.
    module : str, optional
        Which recurrent module, where there are several.
    cancel : lstm_edge._core.Cancel, optional
        Ends the call from another thread.

    Returns
    -------
    AsymptoticDistance

    Raises
    ------
    CheckpointError
        Weights that cannot be used.
    UsageError
        An argument out of range.

    References
    ----------
    .. [1] W. Wei, N. J. L. Chong, C. H. Lai, L. Feng, arXiv 2505.20030 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> lstm_edge.asymptotic_distance(weights, samples=20)
    AsymptoticDistance(-15 ± 0, 20 samples)
    """
    found = as_weights(weights, module=module)
    regime = make_regime(found, inputs, closed_loop=closed_loop, dtype=dtype)
    samples = count("samples", samples)
    refuse_beyond_memory("samples", 4 * samples * found.state_size)
    samples = min(samples, regime.batch or samples)
    tell_if_long(
        "asymptotic_distance",
        found,
        2 * samples * count("steps", steps),
        threads=threads,
        samples=samples,
        steps=steps,
    )
    per_sample, observable = core_call(
        found,
        _core.asymptotic_distance,
        regime.map,
        regime.sequences,
        steps=count("steps", steps),
        noise=positive("noise", noise),
        samples=samples,
        precision=None if precision is None else positive("precision", precision),
        floor=positive("floor", floor),
        seed=count("seed", seed, 0),
        threads=None if threads is None else count("threads", threads),
        cancel=cancel,
    )
    taken = len(per_sample)
    spread = per_sample.std(ddof=1) if taken > 1 else np.nan
    return AsymptoticDistance(
        value=float(per_sample.mean()),
        stderr=float(spread / np.sqrt(taken)),
        per_sample=per_sample,
        observable=observable,
        settings={
            "source": found.source,
            "steps": steps,
            "noise": noise,
            "samples": samples,
            "precision": precision,
            "floor": floor,
            "closed_loop": closed_loop,
            "dtype": dtype,
            "seed": seed,
        },
    )
