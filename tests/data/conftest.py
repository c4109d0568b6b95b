"""A little web server with every bad habit, and a machine on which nothing is installed yet."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REAL_DATA = os.environ.get("MCMCOT_DATA", "")


class Server(ThreadingHTTPServer):
    """Serves ``files[name]`` at /HABIT/name; ``log`` holds (path, Range header) of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str | None]] = []
        self.hold = threading.Event()  # set when the test ends: stops sleeping handlers

    def url(self, habit: str, name: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}/{habit}/{name}"

    def ranges(self, habit: str) -> list[str | None]:
        return [r for path, r in self.log if path.startswith(f"/{habit}/")]

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that hang up are part of the tests


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        habit, name = self.path.strip("/").split("/", 1)
        asked = self.headers.get("Range")
        self.server.log.append((self.path, asked))
        data = self.server.files.get(name)
        if habit == "missing" or data is None:
            self.send_error(404)
            return
        if habit == "silent":
            self.server.hold.wait(20)
            return
        if habit == "wrong":
            data = bytes(len(data))
        if habit == "page":
            self._send(200, b"<html>please log in</html>", kind="text/html; charset=utf-8")
            return
        start = 0
        if asked and habit in ("range", "cut", "trickle", "lies"):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = data[start:]
        if habit == "cut":  # a third of the file a connection, then it breaks off
            self._send(206 if start else 200, body, start, len(data), cut=len(data) // 3 + 1)
        elif habit == "cutplain":
            self._send(200, data, cut=len(data) // 2)
        elif habit == "lies":
            self._send(206, body, start + 1 if start else 0, len(data))
        elif habit == "endless":  # no length given: the end of the connection is the end
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)
        else:
            self._send(206 if start else 200, body, start, len(data), slow=habit == "trickle")

    def _send(
        self,
        code: int,
        body: bytes,
        start: int = 0,
        whole: int = 0,
        *,
        cut: int | None = None,
        slow: bool = False,
        kind: str = "application/octet-stream",
    ) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if code == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{whole}")
        self.end_headers()
        if not slow:
            self.wfile.write(body[:cut])
            return
        for i in range(0, len(body), len(body) // 20 + 1):
            self.wfile.write(body[i : i + len(body) // 20 + 1])
            time.sleep(0.05)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.hold.set()
        running.shutdown()


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data, an empty cache (returned), no proxy."""
    for name in ("MCMCOT_DATA", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path / "the cache"
    monkeypatch.setenv("MCMCOT_CACHE", str(cache))
    return cache


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that MCMCOT_DATA named when the tests began; skips without one."""
    if not REAL_DATA:
        pytest.skip("MCMCOT_DATA names no folder: the real sets are too large for the repository")
    monkeypatch.setenv("MCMCOT_DATA", REAL_DATA)
    return Path(REAL_DATA)
