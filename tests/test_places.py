"""Checkpoints elsewhere: the same table from a URL as from a folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_arrays
from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.places import as_place, replace_file
from lstm_edge.net.reading import as_weights, read_checkpoint
from lstm_edge.sweep.analysis import analyze
from lstm_edge.sweep.watching import watch

fsspec = pytest.importorskip("fsspec")
upath = pytest.importorskip("upath")

SETTINGS: dict[str, dict[str, Any]] = {
    "lyapunov": {"steps": 60, "transient": 20, "starts": 3},
    "attractors": {"steps": 200, "transient": 20, "limit": 400, "starts": 3},
    "distance": {"steps": 60, "samples": 5},
}


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    return make_run(5)


@pytest.fixture
def memory(run: Path) -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    fs.put(str(run), "/shelf/run", recursive=True)
    yield fs
    fs.rm("/shelf", recursive=True)


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.mkdir("shelf")
    fs.put(str(run), "shelf/run", recursive=True)
    yield fs
    fs.rm("shelf", recursive=True)


def check_the_same(url: str, run: Path, tmp_path: Path) -> None:
    far = analyze(url, settings=SETTINGS, out=tmp_path / "far.sqlite")
    near = analyze(run, settings=SETTINGS)
    assert far.run["inputs"] == near.run["inputs"], "the probe is found"
    assert far.failed == []
    for name, column in near.table.items():
        np.testing.assert_array_equal(far.table[name], column)


def test_a_run_in_memory(memory: Any, run: Path, tmp_path: Path) -> None:
    check_the_same("memory://shelf/run", run, tmp_path)


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # of botocore
def test_a_run_on_s3(s3: Any, run: Path, tmp_path: Path) -> None:
    check_the_same("s3://shelf/run", run, tmp_path)


@pytest.mark.parametrize(
    "where",
    [
        "memory://shelf/run",
        "memory://shelf/run/checkpoints",
        "memory://shelf/run/checkpoints/*.safetensors",
        "memory://shelf/*/checkpoints/update-*.safetensors",
    ],
)
def test_folders_and_globs(memory: Any, run: Path, where: str) -> None:
    near = find_checkpoints(run)
    far = find_checkpoints(where)
    assert [f.path.name for f in far] == [f.path.name for f in near]
    assert [f.update for f in far] == [f.update for f in near]
    assert [f.metadata for f in far] == [f.metadata for f in near]


def test_one_file_by_its_url(memory: Any, run: Path) -> None:
    file = run / "checkpoints" / "update-00000020.safetensors"
    url = f"memory://shelf/run/checkpoints/{file.name}"
    for place in (url, upath.UPath(url)):
        assert as_weights(place).digest == read_checkpoint(file).digest
    assert as_place(f"file://{file}") == file


def test_each_file_is_read_once(
    memory: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[str] = []
    cat_file = type(memory).cat_file

    def counted(
        fs: Any, path: str, start: Any = None, end: Any = None, **more: Any
    ) -> Any:
        if start is None and path.endswith(".safetensors"):
            whole.append(Path(path).name)
        return cat_file(fs, path, start, end, **more)

    monkeypatch.setattr(type(memory), "cat_file", counted)
    analyze("memory://shelf/run", settings=SETTINGS, out=tmp_path / "far.sqlite")
    files = {file.name for file in (run / "checkpoints").iterdir()}
    assert sorted(whole) == sorted({*files, "probe.safetensors"})


def test_a_file_that_changes_is_measured_anew(
    memory: Any, run: Path, tmp_path: Path
) -> None:
    """It is known by the digest of its weights, not by its name."""
    out = tmp_path / "far.sqlite"
    first = analyze("memory://shelf/run", settings=SETTINGS, out=out)
    files = sorted((run / "checkpoints").iterdir())
    memory.pipe(f"/shelf/run/checkpoints/{files[0].name}", files[1].read_bytes())
    again = analyze("memory://shelf/run", settings=SETTINGS, out=out)
    exponents = again.table["lambda_max"]
    assert exponents[0] == exponents[1] != first.table["lambda_max"][0]


def test_the_store_lies_in_the_current_folder(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sweep = analyze("memory://shelf/run", settings=SETTINGS, select=[0])
    assert sweep.path == Path("analysis.sqlite")
    with pytest.raises(UsageError, match="expected a path on this machine"):
        analyze("memory://shelf/run", out="memory://shelf/run/analysis.sqlite")


def test_a_far_run_is_watched(memory: Any, tmp_path: Path) -> None:
    memory.mv("/shelf/run/checkpoints/update-00000040.safetensors", "/shelf/later")
    watching = watch(
        "memory://shelf/run",
        out=tmp_path / "far.sqlite",
        settings=SETTINGS,
        poll=0.05,
        idle=1.0,
    )
    seen = [next(watching).update for _ in range(4)]
    memory.mv("/shelf/later", "/shelf/run/checkpoints/update-00000040.safetensors")
    seen += [row.update for row in watching]
    assert sorted(seen) == [0, 10, 20, 30, 40]


# what cannot be reached


def test_nothing_there(memory: Any) -> None:
    for url in ("memory://shelf/none", "memory://shelf/none/*.pt"):
        with pytest.raises(CheckpointError, match="no such file or folder"):
            find_checkpoints(url)
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        read_checkpoint("memory://shelf/none.safetensors")


@pytest.mark.parametrize("where", ["nonsense://shelf/run", "nobody-knows://b"])
def test_a_kind_of_url_that_nobody_knows(where: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_checkpoints(where)
    assert "\n" not in str(caught.value)
    assert where in str(caught.value)


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(UsageError, match=r"pip install 'lstm-edge\[remote\]'"):
        as_place("s3://shelf/run")


def test_a_store_that_refuses_says_so_in_one_line(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no credentials\nat all")

    monkeypatch.setattr(type(memory), "cat_file", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be reached: no credentials$"):
        read_checkpoint("memory://shelf/run/checkpoints/update-00000020.safetensors")


def test_a_local_path_needs_none_of_these_libraries(tmp_path: Path) -> None:
    arrays = make_arrays()
    np.savez(tmp_path / "w.npz", allow_pickle=False, **arrays)
    code = (
        "import sys, lstm_edge\n"
        f"lstm_edge.as_weights({str(tmp_path / 'w.npz')!r})\n"
        "sys.exit(any(name in sys.modules for name in ('fsspec', 'upath')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            replace_file(tmp_path / "a", b"text")
    assert list(tmp_path.iterdir()) == []
    replace_file(tmp_path / "a", b"text")
    assert (tmp_path / "a").read_bytes() == b"text"
