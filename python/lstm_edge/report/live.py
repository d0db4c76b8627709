"""The page of a sweep that goes on, served to a browser on this machine alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.files.places import stamp
from lstm_edge.report.html_page import resource
from lstm_edge.report.page import write_report
from lstm_edge.results.sweep import open_sweep

HOST = "127.0.0.1"

_WAITING = (
    '<!doctype html><html lang="en"><title>lstm-edge</title><body>'
    '<p class="run">waiting for the first checkpoint</p></body></html>'
)


class LivePage:
    """Makes the page anew when the store has grown and somebody asks for it.

    Attributes
    ----------
    store : Path or None
        Set once it is known.
    """

    def __init__(self) -> None:
        self.store: Path | None = None
        self._lock = threading.Lock()
        self._page = _with_script(_WAITING, "")
        self._version: str | None = None  # of the page
        self._stands_until = 0.0

    @property
    def version(self) -> str:
        """What changes when the store is written; "" where there is none.

        Making the page takes time from training: it stands ten times as long.
        """
        if self.store is None:
            return ""
        if self._version is not None and time.monotonic() < self._stands_until:
            return self._version
        log = self.store.with_name(f"{self.store.name}-wal")
        return "-".join(map(str, (*stamp(self.store), *stamp(log))))

    def content(self) -> bytes:
        """Give the page as it is now; the file beside the store is the same."""
        with self._lock:
            version = self.version
            if self.store is not None and version != self._version:
                begin = time.monotonic()
                path = self.store.with_name("report.html")
                write_report(open_sweep(self.store), path)
                text = path.read_text(encoding="utf-8")
                self._page, self._version = _with_script(text, version), version
                now = time.monotonic()
                self._stands_until = now + 10 * (now - begin)
            return self._page


def _with_script(page: str, version: str) -> bytes:
    script = resource("lstm_edge.report", "live.js")
    tag = f'<script id="live" data-version="{version}">{script}</script>'
    before, end, after = page.rpartition("</body>")
    return f"{before}{tag}{end}{after}".encode()


@contextmanager
def serve(page: LivePage, port: int = 0) -> Iterator[str]:
    """Serve a page, and nothing else, on the loopback device.

    Requests that name another host are refused, so that no page of the web can read
    this one through a name of its own.

    Parameters
    ----------
    page : LivePage
    port : int
        0 takes a free one.

    Yields
    ------
    str
        The address.

    Raises
    ------
    UsageError
        If the port cannot be had.
    """
    found: dict[str, Callable[[], bytes]] = {
        "/": page.content,
        "/version": lambda: page.version.encode(),
        "/favicon.ico": bytes,  # every browser asks for it
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 1.0  # of a connection on which nothing is asked

        def do_GET(self) -> None:
            if self.headers.get("Host") not in hosts:
                return self.send_error(403)
            if self.path not in found:
                return self.send_error(404)
            try:
                body = found[self.path]()
            except LstmEdgeError as error:
                return self.send_error(503, str(error))
            self.send_response(200)
            kind = "text/html" if self.path == "/" else "text/plain"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the terminal for the checkpoints."""

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--port: expected a free port, found {port}: {error}; leave it out"
        ) from error
    hosts = {f"{name}:{server.server_port}" for name in (HOST, "localhost")}
    server.daemon_threads = False  # what is being answered is, before the end
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()
