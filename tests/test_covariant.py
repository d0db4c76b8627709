"""Covariant vectors: what the derivative does to them, by dense Jacobians in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import subspace_angles

import lstm_edge
from conftest import make_arrays
from lstm_edge import UsageError
from reference import make_net, step_and_jacobian


def chaotic(hidden: tuple[int, ...] = (16,), scale: float = 8.0) -> dict[str, Any]:
    arrays = make_arrays(hidden, 2)
    return {n: scale * a if "weight_hh" in n else a for n, a in arrays.items()}


def jacobians(weights: dict[str, Any], states: NDArray[Any]) -> NDArray[Any]:
    net = make_net(weights)
    return np.array([step_and_jacobian(net, 0, s)[1] for s in states])


@pytest.mark.parametrize("hidden", [(6,), (4, 3)])
@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("interval", [1, 2])
def test_the_derivative_takes_each_vector_to_a_multiple_of_the_next(
    hidden: tuple[int, ...], scale: float, interval: int
) -> None:
    weights = chaotic(hidden, scale)
    found = lstm_edge.covariant_vectors(
        weights, steps=20, settle=200, transient=300, interval=interval
    )
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1.0, rtol=1e-12)
    net = make_net(weights)
    for m in range(len(found.growth)):
        state, pushed = found.states[m], found.vectors[m]
        for _ in range(interval):
            state, jacobian = step_and_jacobian(net, 0, state)
            pushed = jacobian @ pushed
        np.testing.assert_allclose(state, found.states[m + 1], atol=1e-12)
        expected = found.vectors[m + 1] * np.exp(interval * found.growth[m])
        size = np.abs(jacobian).max()
        np.testing.assert_allclose(pushed, expected, atol=1e-9 * size)


def test_the_last_vector_is_what_comes_back_from_the_future() -> None:
    weights = chaotic()
    found = lstm_edge.covariant_vectors(weights, steps=120, settle=300)
    back = np.random.default_rng(0).standard_normal(32)
    for jacobian in jacobians(weights, found.states[:-1])[::-1]:
        back = np.linalg.solve(jacobian, back)
        back /= np.linalg.norm(back)
    assert abs(back @ found.vectors[0, :, -1]) == pytest.approx(1.0, abs=1e-6)


def test_at_a_fixed_point_they_are_the_eigenvectors() -> None:
    weights = make_arrays((1,), 1)
    found = lstm_edge.covariant_vectors(weights, steps=5, transient=3000)
    jacobian = jacobians(weights, found.states[:1])[0]
    values, vectors = np.linalg.eig(jacobian)
    assert np.isreal(values).all()
    order = np.argsort(-np.abs(values))
    np.testing.assert_allclose(found.exponents, np.log(np.abs(values[order])), 1e-9)
    overlap = np.abs((found.vectors[2] * vectors[:, order]).sum(axis=0))
    np.testing.assert_allclose(overlap, 1.0, rtol=1e-9)
    assert found.unstable == 0
    assert np.isnan(found.angle).all()


def test_mean_growth_is_the_exponents_and_few_vectors_are_the_first() -> None:
    weights = chaotic()
    every = lstm_edge.covariant_vectors(weights, steps=4000)
    spectrum = lstm_edge.lyapunov(weights, steps=4000, starts=1, interval=1)
    assert spectrum.phase == "chaos"
    np.testing.assert_allclose(every.exponents, spectrum.exponents, atol=0.01)
    few = lstm_edge.covariant_vectors(weights, k=3, steps=4000)
    np.testing.assert_allclose(few.exponents, every.exponents[:3], atol=0.01)


def test_the_angle_is_that_between_the_subspaces() -> None:
    found = lstm_edge.covariant_vectors(chaotic(), steps=100)
    u = found.unstable
    assert 0 < u < 32
    expected = [subspace_angles(v[:, :u], v[:, u:]).min() for v in found.vectors]
    np.testing.assert_allclose(found.angle, expected, atol=1e-6)


def test_flat_directions_are_refused_and_fewer_vectors_taken() -> None:
    weights = {"weight_ih_l0": np.zeros((8, 1)), "weight_hh_l0": np.zeros((8, 2))}
    with pytest.raises(UsageError, match="k: expected at most 2, found 4"):
        lstm_edge.covariant_vectors(weights)
    found = lstm_edge.covariant_vectors(weights, k=2)
    np.testing.assert_allclose(found.exponents, np.log(0.5))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 99}, "k: expected 1 to 32"),
        ({"k": 0}, "k: expected"),
        ({"steps": 0}, "steps: expected"),
        ({"interval": 0}, "interval: expected"),
        ({"steps": 2**40}, "steps: asks for"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lstm_edge.covariant_vectors(chaotic(), **arguments)
