"""Arbitrary bytes, and mutations of sound and hostile files: weights or a refusal."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, Finding, read, seeds

READERS = [target for target in TARGETS if target != "store"]
_seeds = cache(seeds)


@st.composite
def mutated(draw: st.DrawFn, target: str) -> bytes:
    """Change, cut out, double or put in some bytes of a seed."""
    data = bytearray(draw(st.sampled_from(_seeds(target))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 2, 4, 8, 64]))
        put = draw(st.binary(max_size=8)) * draw(st.sampled_from([1, 1, 1, 50]))
        data[place : place + length] = put
    return bytes(data)


@pytest.mark.parametrize("target", READERS)
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_mutations_give_weights_or_a_refusal(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(mutated(target)))


@pytest.mark.parametrize("target", READERS)
@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_give_weights_or_a_refusal(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_found_and_read(target: str) -> None:
    assert seeds(target)
    for seed in seeds(target):
        TARGETS[target](seed)


def test_code_that_runs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs_code(data: bytes, source: str) -> None:
        exec(data)

    monkeypatch.setattr("fuzz.targets.decode", runs_code)
    with pytest.raises(Finding, match=r"it did \['compile', 'exec'\]"):
        read(b"raise __import__('lstm_edge').errors.CheckpointError('x')", ".pt")


@pytest.mark.skipif(sys.platform != "linux", reason="atheris is for Linux")
def test_the_program_runs(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    program = Path(__file__).with_name("run.py")
    done = subprocess.run(
        [sys.executable, program, "header", "-runs=300"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "DONE" in done.stderr
    assert list(tmp_path.iterdir()) == []
