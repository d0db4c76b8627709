"""The sketch of the weights keeps distances, and the path along a run follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lstm_edge
from conftest import make_arrays
from lstm_edge import read_checkpoint
from lstm_edge.measures.sketch import sketch


def test_distances_are_kept_within_a_few_standard_errors() -> None:
    random = np.random.default_rng(0)
    ratios = []
    for seed in range(40):
        a = make_arrays((12,), 5)
        b = {n: x + 1e-3 * random.standard_normal(x.shape) for n, x in a.items()}
        true = np.sqrt(sum(((b[n] - a[n]) ** 2).sum() for n in a))
        left, right = (lstm_edge.as_weights(x) for x in (a, b))
        ratios.append(
            np.linalg.norm(sketch(left, seed=seed) - sketch(right, seed=seed)) / true
        )
    # 1 / sqrt(2 * 1024) = 0.022
    assert np.mean(ratios) == pytest.approx(1.0, abs=3 * 0.022 / np.sqrt(40))
    assert 0.5 * 0.022 < np.std(ratios) < 1.5 * 0.022


def test_a_sketch_is_linear() -> None:
    a = make_arrays((3,), 2)
    twice = lstm_edge.as_weights({name: 2 * x for name, x in a.items()})
    np.testing.assert_array_equal(sketch(twice), 2 * sketch(lstm_edge.as_weights(a)))


def test_the_path_of_a_run_is_that_of_its_weights(
    make_run: Callable[..., Path],
) -> None:
    folder = make_run(5)
    sweep = lstm_edge.analyze(folder, settings={"distance": {"steps": 50}})
    flat = [
        np.concatenate([np.ravel(x) for x in read_checkpoint(f.path).arrays()])
        for f in lstm_edge.find_checkpoints(folder)
    ]
    true = np.cumsum([0.0, *(np.linalg.norm(np.diff(flat, axis=0), axis=1))])
    np.testing.assert_allclose(sweep.weight_path, true, rtol=0.1)


def test_width_as_a_path_comes_from_the_series_given() -> None:
    path = np.arange(20) ** 2
    (found, *_) = lstm_edge.find_transitions(
        np.linspace(0, 1.9, 20), ["order"] * 10 + ["chaos"] * 10, [0.0] * 20, path=path
    )
    assert found.path_length == 100 - 81
    assert found.span == pytest.approx((0.9, 1.0))
    assert np.isnan(
        lstm_edge.find_transitions([0, 1], ["order", "chaos"], [-1, 1])[0].path_length
    )
