"""The page that a watch serves, and who may read it."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from torch import nn

import lstm_edge
from lstm_edge.errors import UsageError
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.report.live import LivePage, serve
from test_report import CHROMIUM, dom

FEW = {
    "lyapunov": {"steps": 60, "transient": 20, "starts": 3},
    "attractors": {"starts": 3},
    "distance": {"samples": 4},
}


def make_store(folder: Path, updates: int) -> Path:
    """Analyse so many checkpoints; a longer run of the same folder goes on."""
    folder.mkdir(exist_ok=True)
    for update in range(updates):
        arrays = {k: v.detach().numpy() for k, v in nn.LSTM(2, 4).state_dict().items()}
        path = folder / f"net-{update}.safetensors"
        if not path.exists():
            write_checkpoint(path, arrays, {})
    return lstm_edge.analyze(folder, settings=FEW).path


def get(address: str, host: str | None = None) -> str:
    headers = {} if host is None else {"Host": host}
    asked = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(asked) as answer:
        text: str = answer.read().decode()
    return text


def refused(address: str, host: str | None = None) -> int:
    """The code with which a request is refused."""
    with pytest.raises(urllib.error.HTTPError) as answer:
        get(address, host)
    answer.value.close()
    return answer.value.code


def test_the_page_follows_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = LivePage()
    with serve(page) as address:
        assert address.startswith("http://127.0.0.1:")
        assert "waiting for the first checkpoint" in get(address)
        assert get(f"{address}version") == ""
        page.store = make_store(tmp_path / "a", 2)
        first = get(f"{address}version")
        shown = get(address)
        assert "a · 2 checkpoints" in shown
        assert f'data-version="{first}"' in shown
        assert get(address) == shown
        make_store(tmp_path / "a", 3)
        assert get(f"{address}version") == first  # it stands for a while
        monkeypatch.setattr(page, "_stands_until", 0.0)
        assert get(f"{address}version") != first
        assert "a · 3 checkpoints" in get(address)
    assert "a · 3 checkpoints" in (tmp_path / "a" / "report.html").read_text()
    with pytest.raises(urllib.error.URLError):
        get(address)


def test_nobody_else_is_served(tmp_path: Path) -> None:
    with serve(LivePage()) as address:
        for path, host, code in (
            ("", "evil.example", 403),
            ("../../etc/passwd", None, 404),
            ("version?x", None, 404),
        ):
            assert refused(address + path, host) == code
        port = int(address.rstrip("/").rpartition(":")[2])
        with (
            pytest.raises(UsageError, match="expected a free port"),
            serve(LivePage(), port),
        ):
            pass


def test_a_store_that_is_gone_costs_the_page_alone(tmp_path: Path) -> None:
    page = LivePage()
    page.store = tmp_path / "none.sqlite"
    with serve(page) as address:
        assert refused(address) == 503
        page.store = None
        assert "waiting" in get(address)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_puts_in_what_is_new(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a", 2)
    later = make_store(tmp_path / "b", 3)

    class Growing(LivePage):
        """Shows one store at first, then the other."""

        def content(self) -> bytes:
            found = super().content()
            self.store, self._stands_until = later, 0.0
            return found

    page = Growing()
    page.store = store
    with serve(page) as address:
        drawn, errors = dom(address, tmp_path / "profile")
    assert "Uncaught" not in errors
    assert "b · 3 checkpoints" in drawn
    assert "a · 2 checkpoints" not in drawn
    assert drawn.count('class="main-svg"') >= 3
