"""The Lyapunov exponents of a forecaster in closed loop, against those of its system.

An LSTM with random weights is driven by the Lorenz system, and only its linear readout
is fitted: a reservoir. Fed its own forecasts it is an autonomous map, whose largest
exponents should be those of the system: 0.906 and 0 per unit of time. Exponents below
the system's own belong to the net.

python examples/closed_loop.py
"""

import numpy as np
from scipy.integrate import solve_ivp

import lstm_edge

DT = 0.05


def lorenz(points: int) -> np.ndarray:
    """Points of the Lorenz attractor, DT apart, each coordinate scaled."""

    def rate(_: float, s: np.ndarray) -> list[float]:
        x, y, z = s
        return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

    times = DT * np.arange(points + 500)  # the first 500 lead to the attractor
    solution = solve_ivp(
        rate, (0, times[-1]), [1, 1, 20], t_eval=times, rtol=1e-8, atol=1e-8
    )
    states = solution.y.T[500:]
    return (states - states.mean(axis=0)) / states.std(axis=0)


def main(
    units: int = 200, points: int = 5000, steps: int = 10_000
) -> lstm_edge.measures.LyapunovSpectrum:
    """Fit the readout, close the loop, measure."""
    random = np.random.default_rng(0)
    shapes = {
        "weight_ih_l0": (4 * units, 3),
        "weight_hh_l0": (4 * units, units),
        "bias_ih_l0": (4 * units,),
        "bias_hh_l0": (4 * units,),
    }
    weights = {name: random.normal(size=shape) for name, shape in shapes.items()}
    weights["weight_ih_l0"] *= 0.3
    weights["weight_hh_l0"] *= 0.3 / np.sqrt(units)
    weights["bias_ih_l0"] *= 0.5
    weights["bias_hh_l0"] *= 0.0

    series = lorenz(points)
    rest = np.zeros(2 * units)
    driven = lstm_edge.orbit(
        weights, series[:-1], steps=points - 1, starts=1, initial_state=rest
    )
    hidden, cell = driven.hidden[0], driven.cell[0]
    states = np.column_stack([hidden, np.ones(len(hidden))])[200:]
    square = states.T @ states + 1e-9 * len(states) * np.eye(units + 1)
    readout = np.linalg.solve(square, states.T @ series[201:])
    weights["readout_weight"], weights["readout_bias"] = readout[:-1].T, readout[-1]

    spectrum = lstm_edge.lyapunov(
        weights,
        closed_loop=True,
        initial_state=np.concatenate([hidden[-1], cell[-1]]),
        starts=1,
        k=3,
        steps=steps,
        dt=DT,
    )
    print(spectrum)
    print("the Lorenz system: 0.906, 0, -14.57")
    return spectrum


if __name__ == "__main__":
    main()
