"""From weights and inputs to a state map and its drive: the input regimes.

================== ================================ ============================
regime             input at step t                  exponents are
================== ================================ ============================
zero (default)     x = 0                            those of the autonomous map
constant           x = a given vector               those of the autonomous map
driven             a sequence, or a batch of them   conditional, along the drive
driven, then zero  sequences, then zeros            of the zero phase
closed loop        the readout of the last state    those of the autonomous map
================== ================================ ============================

Sequences are of numbers, or of tokens: integers, for a net with an embedding.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.errors import UsageError
from lstm_edge.measures.cost import refuse_beyond_memory
from lstm_edge.net.weights import KINDS, Weights

_DTYPES = ("float32", "float64")
_MOST = 2**53
Sequences = NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]
"""Numbers (B, T, I), or tokens (B, T) with their embedding (V, I)."""


@dataclass(frozen=True)
class Regime:
    """A net under its inputs.

    Attributes
    ----------
    map : lstm_edge._core.StateMap
        The packed net; a constant input or the readout of a closed loop is folded in.
    sequences : (B, T, I), or tokens (B, T) and their embedding (V, I), or None
        What drives it; zeros follow after T steps.
    at_rest : bool
        Whether starts begin at the zero state, each with a sequence of its own: so for
        a batch (B, T, I), the way a net in training reads it.
    dtype : numpy dtype
        Of the map's arithmetic.
    """

    map: _core.StateMap
    sequences: Sequences | None
    at_rest: bool
    dtype: np.dtype[Any]

    @property
    def batch(self) -> int:
        """How many starts begin at rest: B of a batch, else 0."""
        if not self.at_rest or self.sequences is None:
            return 0
        return len(
            self.sequences[0] if isinstance(self.sequences, tuple) else self.sequences
        )


def make_regime(
    weights: Weights,
    inputs: ArrayLike | None,
    *,
    closed_loop: bool = False,
    dtype: str = "float64",
) -> Regime:
    """Pack the weights and the inputs for the core.

    Parameters
    ----------
    weights : Weights
    inputs : None or array_like of shape (I,), (T, I) or (B, T, I)
        None is the zero input. Integers (T,) or (B, T) are tokens, where the net has an
        embedding.
    closed_loop : bool
        Feed the readout of the last state back; takes no `inputs`.
    dtype : {"float64", "float32"}

    Raises
    ------
    UsageError
        Inputs, readout or dtype that do not fit the weights.
    """
    if dtype not in _DTYPES:
        raise UsageError(f"dtype: expected one of {_DTYPES}, found {dtype!r}")
    kind = np.dtype(dtype)
    layers = [
        tuple(
            None if array is None else cast(f"{weights.source}: a weight", array, kind)
            for array in (getattr(layer, name) for name in KINDS)
        )
        for layer in weights.layers
    ]
    constant = readout = None
    sequences: Sequences | None = None
    at_rest = False
    if closed_loop:
        readout = _readout(weights, inputs, kind)
    elif inputs is not None and are_tokens(weights, inputs):
        tokens = np.asarray(inputs, np.int64)
        at_rest = tokens.ndim == 2
        embedding = cast(f"{weights.source}: the embedding", weights.embedding, kind)
        sequences = (tokens.reshape(-1, tokens.shape[-1]), embedding)
    elif inputs is not None:
        array = _inputs(weights, inputs, kind)
        at_rest = array.ndim == 3
        if array.ndim == 1:
            constant = array
        else:
            sequences = array.reshape(-1, *array.shape[-2:])
    packed = core_call(
        weights,
        _core.StateMap.net,
        weights.formulas,
        layers,
        constant,
        readout,
        double=dtype == "float64",
    )
    return Regime(packed, sequences, at_rest, kind)


def core_call(weights: Weights, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the core; what it refuses is said together with the source of the weights.

    Raises
    ------
    UsageError
        Instead of the core's ValueError.
    """
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise UsageError(f"{weights.source}: {error}") from None


def count(name: str, value: Any, least: int = 1) -> int:
    """Check an argument that counts something.

    Raises
    ------
    UsageError
        If it is no integer, or less than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= _MOST:
        raise UsageError(
            f"{name}: expected an integer from {least} to 2^53, found {value!r}"
        )
    return number


def positive(name: str, value: Any) -> float:
    """Check an argument that measures something.

    Raises
    ------
    UsageError
        If it is no finite number above zero.
    """
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise UsageError(f"{name}: expected a positive number, found {value!r}")
    return number


def cast(name: str, value: Any, kind: np.dtype[Any]) -> NDArray[Any]:
    """Bring numbers into the dtype of the map.

    Raises
    ------
    UsageError
        If they are no numbers, or too large for it.
    """
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "biuf":
            raise TypeError
        refuse_beyond_memory(name, 2 * given.size)  # here and in the core
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(given, kind)
    except UsageError:
        raise
    except (TypeError, ValueError):
        raise UsageError(
            f"{name}: expected an array of numbers, found {type(value).__name__}"
        ) from None
    if not np.isfinite(array).all():
        worst = given.flat[int(np.argmin(np.isfinite(array)))]
        raise UsageError(f"{name}: expected finite numbers in {kind}, found {worst:g}")
    return array


def initial_states(
    weights: Weights, initial_state: ArrayLike | None, starts: int, kind: np.dtype[Any]
) -> tuple[NDArray[Any] | None, int]:
    """Bring the user's initial states to (S, n), and tell S.

    The order is (h_1, c_1, ..., h_L, c_L), without c where the cell has none; one state
    (n,) is repeated for all starts.

    Raises
    ------
    UsageError
        Another shape.
    """
    refuse_beyond_memory("starts", starts * weights.state_size)
    if initial_state is None:
        return None, starts
    array = cast("initial_state", initial_state, kind)
    n = weights.state_size
    if array.ndim not in (1, 2) or array.shape[-1] != n or array.size == 0:
        raise UsageError(
            f"initial_state: expected shape ({n},) or (starts, {n}) in the order "
            f"(h_1, {'c_1' if weights.cell == 'lstm' else 'h_2'}, ...), found "
            f"{array.shape}"
        )
    if array.ndim == 1:
        array = np.broadcast_to(array, (starts, n))
    return np.ascontiguousarray(array), len(array)


def are_tokens(weights: Weights, inputs: ArrayLike) -> bool:
    """Whether inputs are integers for the net's embedding, not numbers (B, T, I)."""
    try:
        given = np.asarray(inputs)
    except ValueError:  # of unequal lengths, which is refused as what it is
        return False
    whole = given.dtype.kind in "iu" and given.size > 0
    return weights.embedding is not None and whole and given.ndim in (1, 2)


def _inputs(weights: Weights, inputs: ArrayLike, kind: np.dtype[Any]) -> NDArray[Any]:
    array = cast("inputs", inputs, kind)
    size = weights.input_size
    if array.ndim not in (1, 2, 3) or array.shape[-1] != size or array.size == 0:
        raise UsageError(
            f"inputs: expected shape ({size},), (T, {size}) or (B, T, {size}) for "
            f"{weights.source}, found {np.shape(inputs)}"
        )
    return array


def _readout(
    weights: Weights, inputs: ArrayLike | None, kind: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    if inputs is not None:
        raise UsageError(
            "inputs: a closed loop takes none, its input is the readout; "
            "expected None, or closed_loop=False"
        )
    if weights.readout is None:
        raise UsageError(
            f"{weights.source}: closed_loop needs a linear readout (readout_weight, "
            "readout_bias), found none or several; name it with --readout, or "
            "as_weights(readout=) in Python"
        )
    weight, bias = weights.readout
    if len(weight) != weights.input_size:
        raise UsageError(
            f"{weights.source}: closed_loop needs a readout with as many outputs as "
            f"the net has inputs ({weights.input_size}), found {len(weight)}"
        )
    return cast("readout_weight", weight, kind), cast("readout_bias", bias, kind)
