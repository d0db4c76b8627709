"""Arguments that cannot work, weights at the limits, and calls that last."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_edge
from conftest import make_arrays
from lstm_edge import _core

REFUSED: list[tuple[str, Any, dict[str, Any]]] = [
    ("k", None, {"k": 0}),
    ("k", None, {"k": 17}),
    ("steps", None, {"steps": 0}),
    ("steps", None, {"steps": 2.5}),
    ("transient", None, {"transient": -1}),
    ("starts", None, {"starts": 0}),
    ("interval", None, {"interval": 0}),
    ("interval", None, {"interval": "often"}),
    ("seed", None, {"seed": -1}),
    ("threads", None, {"threads": 0}),
    ("dt", None, {"dt": 0.0}),
    ("dt", None, {"dt": np.nan}),
    ("dtype", None, {"dtype": "float16"}),
    ("inputs", np.zeros(4), {}),
    ("inputs", np.zeros((9, 4)), {}),
    ("inputs", np.zeros((2, 9, 4)), {}),
    ("inputs", np.zeros((2, 2, 9, 3)), {}),
    ("inputs", np.zeros((0, 3)), {}),
    ("inputs", [0.0, np.nan, 0.0], {}),
    ("inputs", np.full((2000, 3), np.inf), {}),
    ("inputs", "zero", {}),
    ("inputs", np.zeros(3), {"closed_loop": True}),
    ("readout", None, {"closed_loop": True}),
    ("initial_state", None, {"initial_state": np.zeros(15)}),
    ("initial_state", None, {"initial_state": np.zeros((0, 16))}),
    ("initial_state", None, {"initial_state": np.full(16, np.nan)}),
    ("transient", np.zeros((50, 3)), {"steps": 100, "transient": 0}),
    ("transient", np.zeros((50, 3)), {"steps": 100, "transient": 49}),
    ("transient", np.zeros((2, 50, 3)), {"steps": 51, "transient": 0}),
]


@pytest.mark.parametrize(("field", "inputs", "options"), REFUSED)
def test_an_argument_that_cannot_work_is_named_in_one_line(
    field: str, inputs: Any, options: dict[str, Any]
) -> None:
    arrays = make_arrays((8,), 3, outputs=2)
    run = {"steps": 20, "transient": 10, "starts": 2} | options
    with pytest.raises(lstm_edge.UsageError, match=field) as caught:
        lstm_edge.lyapunov(arrays, inputs, **run)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("steps", "transient"), [(50, 0), (20, 30), (60, 50)])
def test_measured_steps_lie_in_the_drive_or_after_it(
    steps: int, transient: int
) -> None:
    arrays = make_arrays((4,), 3)
    inputs = np.random.default_rng(0).standard_normal((50, 3))
    spectrum = lstm_edge.lyapunov(
        arrays, inputs, steps=steps, transient=transient, starts=2
    )
    assert np.all(np.isfinite(spectrum.exponents))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1", "bias_hh_l0"])
def test_weights_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    arrays = make_arrays((4, 3), 3)
    arrays[name].flat[1] = bad
    with pytest.raises(lstm_edge.CheckpointError, match=name):
        lstm_edge.lyapunov(arrays)


def test_an_orbit_that_leaves_the_finite_numbers_is_a_result() -> None:
    arrays = make_arrays((4, 3), 3, outputs=3)
    big = {name: np.float64(array) * 1e200 for name, array in arrays.items()}
    spectrum = lstm_edge.lyapunov(big, closed_loop=True, steps=20, transient=5)
    assert spectrum.phase == "unknown"
    assert np.all(np.isnan(spectrum.exponents))


@settings(max_examples=20, deadline=None)
@given(
    gain=st.floats(1.0, 1e6), seed=st.integers(0, 2**32), k=st.sampled_from([1, 3, 8])
)
def test_saturated_gates_are_survived(gain: float, seed: int, k: int) -> None:
    arrays = make_arrays((4,), 3, gain=gain, seed=seed)
    spectrum = lstm_edge.lyapunov(arrays, k=k, steps=50, transient=20, starts=2)
    assert not np.isnan(spectrum.exponents).any()
    assert not np.isnan(spectrum.stderr).any()
    assert np.all(spectrum.exponents[:-1] >= spectrum.exponents[1:])


# ---- a long call


def endless(**options: Any) -> None:
    arrays = make_arrays((64,), 3)
    settings: dict[str, Any] = {"starts": 4, "interval": 1, "asymptotic": False}
    lstm_edge.lyapunov(arrays, steps=10**9, **settings, **options)


def test_ctrl_c_ends_a_call_that_would_last_for_hours() -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        endless()


def test_ctrl_c_does_not_wait_for_the_end_of_an_interval() -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    settings: dict[str, Any] = {"k": 2, "steps": 10**9, "asymptotic": False}
    with pytest.raises(KeyboardInterrupt):
        lstm_edge.lyapunov(make_arrays((64,), 3), interval=10**9, **settings)


def test_cancel_ends_a_call_in_another_thread_which_held_no_lock() -> None:
    cancel = _core.Cancel()
    ended = threading.Event()

    def call() -> None:
        with pytest.raises(KeyboardInterrupt):
            endless(cancel=cancel)
        ended.set()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    for _ in range(1000):  # this thread runs all the while
        time.sleep(0)
    assert not ended.is_set()
    cancel.cancel()
    assert ended.wait(60)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("lstm_edge.lyapunov(net, starts=10**8)", "starts"),
        ("lstm_edge.lyapunov(net, numpy.broadcast_to(0.0, (10**9, 4)))", "inputs"),
        ("lstm_edge.asymptotic_distance(net, samples=10**8)", "samples"),
        ("lstm_edge.attractors(net, limit=10**8)", "limit"),
        ("lstm_edge.orbit(net, steps=10**9)", "steps"),
    ],
)
def test_what_asks_for_more_memory_than_a_limit_leaves(call: str, name: str) -> None:
    code = (
        "import resource, numpy, lstm_edge, conftest\n"
        "net = conftest.make_arrays()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))\n"
        f"try:\n    {call}\nexcept lstm_edge.UsageError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert re.match(
        rf"{name}: asks for .* GiB, this process may have 4\.0", done.stdout
    )


def test_inputs_of_unequal_lengths_are_refused_in_words() -> None:
    with pytest.raises(lstm_edge.UsageError, match="inputs: expected an array"):
        lstm_edge.lyapunov(make_arrays(), [[1, 2, 3, 4], [1, 2]])


def test_what_takes_long_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    weights = lstm_edge.as_weights(make_arrays())
    stopped = _core.Cancel()
    stopped.cancel()
    calls: list[Any] = [
        lambda: lstm_edge.lyapunov(weights, steps=10**10, cancel=stopped),
        lambda: lstm_edge.attractors(weights, transient=10**10, cancel=stopped),
        lambda: lstm_edge.asymptotic_distance(weights, steps=10**10, cancel=stopped),
    ]
    for call in (*calls, *calls):
        with pytest.raises(KeyboardInterrupt):
            call()
    told = [record.getMessage() for record in caplog.records]
    names = ["lyapunov", "attractors", "asymptotic_distance"]
    assert [text.partition(":")[0] for text in told] == names
    assert all(
        re.search(r"about [\d,]+ (minutes|hours|days) on", text) for text in told
    )
    assert "steps = 10,000,000,000" in told[0]
    lstm_edge.lyapunov(weights, steps=100)
    assert len(caplog.records) == len(told)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit that Linux keeps")
def test_threads_that_cannot_start_are_an_error() -> None:
    code = """
import resource
import numpy as np
import lstm_edge
weights = lstm_edge.as_weights(
    {"weight_ih_l0": np.zeros((4, 1)), "weight_hh_l0": np.zeros((4, 1))}
)
with open("/proc/self/status") as status:
    size = next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
limit = 1024 * (size + 1024)  # less than the stack of a thread
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    lstm_edge.lyapunov(weights, steps=10)
except lstm_edge.UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "threads: the system starts no more of them" in done.stdout, done.stderr


def test_pools_of_threads_are_not_kept_for_ever() -> None:
    weights = lstm_edge.as_weights(make_arrays())
    one = lstm_edge.lyapunov(weights, steps=20, threads=1)
    for threads in (*range(2, 60), 200, 256):
        found = lstm_edge.lyapunov(weights, steps=20, threads=threads)
        assert np.array_equal(found.exponents, one.exponents)
    time.sleep(0.5)  # they end by themselves
    tasks = Path("/proc/self/task")
    if tasks.exists():
        names = [(task / "comm").read_text() for task in tasks.iterdir()]
        assert sum(name.startswith("lstm-edge-") for name in names) <= 3 * 256
