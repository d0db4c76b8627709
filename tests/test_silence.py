"""What a net does once its input stops: settle, ring, drift or wander."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner

import lstm_edge
import nets
import reference
from conftest import Arrays, make_arrays
from lstm_edge.cli import main


def elman(recurrent: float) -> Arrays:
    """h' = tanh(w h + x): one unit."""
    return {
        "weight_ih_l0": np.ones((1, 1)),
        "weight_hh_l0": np.array([[recurrent]]),
        "bias_ih_l0": np.zeros(1),
        "bias_hh_l0": np.zeros(1),
    }


def inputs(count: int = 6, steps: int = 20, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((count, steps, 1))


def test_a_contracting_net_settles_as_its_slow_twin_does() -> None:
    arrays, heard = make_arrays((5,), 1, gain=1.5, seed=3), inputs()
    found = lstm_edge.silence(arrays, heard)
    assert found.attractors.phase == "order"
    assert "settles in one and the same resting state" in found.sentences[0]
    for sequence, settled in zip(heard, found.settling, strict=True):
        net = reference.make_net(arrays, sequence)
        walk = reference.orbit(net, np.zeros(10), 20 + 3000)[19:, :5]
        apart = np.linalg.norm(walk - walk[-1], axis=1)
        assert settled == np.flatnonzero(apart > 0.01 * apart[0])[-1] + 1
    silent = reference.make_net(arrays)
    rest = reference.orbit(silent, np.zeros(10), 3000)[-1]
    _, jacobian = reference.step_and_jacobian(silent, 0, rest)
    slowest = np.abs(np.linalg.eigvals(jacobian)).max()
    (state,) = found.attractors.attractors
    expected = -math.log(2) / math.log(slowest)
    assert found.half_life(state) == pytest.approx(expected, rel=1e-6)


def test_two_resting_states_remember_the_sign_of_the_input() -> None:
    """h' = tanh(2 h + x) has resting states at +-0.9575."""
    heard = np.where(np.arange(7) % 3 == 0, 1.0, -1.0)[:, None, None] * np.ones(
        (7, 5, 1)
    )
    found = lstm_edge.silence(elman(2.0), heard)
    assert "on one of 2 resting states" in found.sentences[0]
    ends = {
        a.starts: found.attractors.means[a.starts[0], 0]
        for a in found.attractors.attractors
    }
    assert ends == {
        (1, 2, 4, 5): pytest.approx(-0.957504, abs=1e-6),
        (0, 3, 6): pytest.approx(0.957504, abs=1e-6),
    }


@pytest.mark.parametrize("driven", [True, False])
def test_a_net_that_rings_keeps_its_cycle(driven: bool) -> None:
    """h' = tanh(-2 h + x): a cycle of period 2."""
    found = lstm_edge.silence(
        elman(-2.0), 0.1 + inputs() ** 2 if driven else None, dt=0.5, starts=6
    )
    assert "keeps a cycle of 2 steps (1 s)" in found.sentences[0]
    assert found.driven is driven
    # |2 (1 - h^2)|^2 is the multiplier, h = 0.9575
    growth = 2 * (1 - 0.957504**2)
    (cycle,) = found.attractors.attractors
    assert cycle.exponent == pytest.approx(math.log(growth), abs=1e-4)
    assert np.isfinite(found.settling).all()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [(nets.chaotic(), "wanders chaotically"), (nets.torus(), "drifts on a torus")],
    ids=["chaos", "torus"],
)
def test_a_net_that_never_rests_has_nothing_to_settle_to(
    arrays: Arrays, said: str
) -> None:
    found = lstm_edge.silence(arrays, starts=4)
    assert said in repr(found)
    assert len(found.sentences) == 1
    assert np.isnan(found.settling).all()
    assert math.isnan(found.half_life(found.attractors.attractors[0]))


def test_rest_beside_a_cycle_depends_on_what_was_heard() -> None:
    """h_1 keeps the sign of the input; h_2' = tanh(-2 h_2 + 2 h_1 + 2) hears it."""
    arrays = {
        "weight_ih_l0": np.array([[1.0], [0.0]]),
        "weight_hh_l0": np.array([[3.0, 0.0], [2.0, -2.0]]),
        "bias_ih_l0": np.array([0.0, 2.0]),
        "bias_hh_l0": np.zeros(2),
    }
    heard = np.array([1.0, -1.0, 1.0])[:, None, None] * np.ones((3, 5, 1))
    found = lstm_edge.silence(arrays, heard)
    assert found.sentences[0] == (
        "After 3 inputs, then silence: what comes depends on where the net was: 2 of "
        "3 times the net settles, 1 of 3 times the net keeps a cycle."
    )
    assert found.attractors.kind == ["fixed_point", "cycle", "fixed_point"]


def test_a_net_at_rest_already_has_settled() -> None:
    found = lstm_edge.silence(elman(0.5), np.zeros((2, 3, 1)))
    assert found.settling.tolist() == [0, 0]


def test_one_sequence_and_tokens_are_inputs() -> None:
    arrays, heard = make_arrays((4,), 1, seed=2), inputs(1)
    assert lstm_edge.silence(arrays, heard[0]) == lstm_edge.silence(arrays, heard)
    words = arrays | {"embedding.weight": np.random.default_rng(0).normal(size=(9, 1))}
    tokens = np.array([[1, 5, 8], [2, 2, 3]])
    told = lstm_edge.silence(words, tokens)
    spelt = lstm_edge.silence(arrays, words["embedding.weight"][tokens])
    np.testing.assert_array_equal(told.attractors.states, spelt.attractors.states)
    whole = np.array([[[1], [-2]], [[0], [3]]])  # numbers (B, T, I), no tokens
    assert lstm_edge.silence(words, whole) == lstm_edge.silence(words, whole + 0.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": np.zeros(1)}, r"inputs: expected shape \(T, I\)"),
        ({"inputs": np.zeros((2, 0, 1))}, "inputs: expected"),
        ({"inputs": [[1.0], [2.0, 3.0]]}, "inputs: expected an array"),
        ({"inputs": np.zeros((2, 3, 4))}, "inputs: expected"),
        ({"dt": 0.0}, "dt: expected"),
        ({"starts": 0}, "starts: expected"),
        ({"limit": 0}, "limit: expected"),
    ],
)
def test_what_cannot_work_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(lstm_edge.UsageError, match=said):
        lstm_edge.silence(elman(0.5), **options)


def test_the_command_says_the_same(tmp_path: Path) -> None:
    model, heard = tmp_path / "net.safetensors", tmp_path / "inputs.npy"
    safetensors.numpy.save_file(elman(2.0), model)
    sequences = np.array([1.0, -1.0, 1.0])[:, None, None] * np.ones((3, 5, 1))
    np.save(heard, sequences)
    command = ["silence", str(model), "--inputs", str(heard), "--dt", "0.001"]
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == 0, shown.output
    expected = lstm_edge.silence(elman(2.0), sequences, dt=0.001)
    for sentence in expected.sentences:
        assert sentence in " ".join(shown.output.split())
    assert "0, 2" in shown.output
    found = json.loads(CliRunner().invoke(main, [*command, "--json"]).output)
    assert found["sentences"] == expected.sentences
    assert found["settling"] == expected.settling.tolist()
