"""What a net without input can end on: a picture of each kind of attractor.

python examples/attractor_kinds.py docs/attractors.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import lstm_edge


def net(recurrent, *, i, f, o, g=0.0):
    """One LSTM layer whose gates are held by their biases: h' is near tanh(W h)."""
    weights = np.atleast_2d(np.asarray(recurrent, float))
    hidden = len(weights)
    weight_hh = np.zeros((4 * hidden, hidden))
    weight_hh[2 * hidden : 3 * hidden] = weights
    biases = [np.broadcast_to(np.asarray(b, float), hidden) for b in (i, f, g, o)]
    return {
        "weight_ih_l0": np.zeros((4 * hidden, 1)),
        "weight_hh_l0": weight_hh,
        "bias_ih_l0": np.concatenate(biases),
        "bias_hh_l0": np.zeros(4 * hidden),
    }


def turn(gain, angle):
    """A rotation, stretched."""
    c, s = np.cos(angle), np.sin(angle)
    return gain * np.array([[c, -s], [s, c]])


def main(path="attractors.png"):
    random = np.random.default_rng(0)
    coupling = 6 / np.sqrt(10) * random.standard_normal((10, 10))
    golden = np.pi * (np.sqrt(5) - 1)
    nets = {
        "fixed point": net(turn(1.05, golden), i=3, f=-3, o=3),
        "cycle": net(turn(1.5, np.pi / 2), i=3, f=-3, o=3),
        "torus": net(turn(1.5, golden), i=3, f=-3, o=3),
        "chaos": net(coupling, i=2, f=0, o=2, g=random.standard_normal(10)),
    }
    figure, axes = plt.subplots(2, len(nets), figsize=(11, 5), layout="constrained")
    for (name, weights), (above, below) in zip(nets.items(), axes.T, strict=True):
        found = lstm_edge.attractors(weights, starts=4)
        walk = lstm_edge.orbit(weights, steps=60, transient=0, starts=4)
        long = lstm_edge.orbit(weights, steps=3000, transient=1000, starts=1)
        above.plot(walk.hidden[..., 0].T, linewidth=0.8)
        above.set(title=name, ylim=(-1, 1), xlabel="step")
        below.plot(*long.hidden[0, :, :2].T, ".", markersize=2)
        below.set(xlim=(-1, 1), ylim=(-1, 1), xlabel="unit 1")
        kind = found.attractors[0]
        below.set_title(f"λ = {round(kind.exponent, 3) + 0.0:g}", fontsize=10)
        print(f"{name}: {found}, exponent {kind.exponent:.3f} ± {kind.stderr:.2g}")
    axes[0, 0].set_ylabel("unit 1, from four starts")
    axes[1, 0].set_ylabel("unit 2")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
