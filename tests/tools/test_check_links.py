"""The weekly question whether mirrors and badges are alive, asked of a server of our own."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import check_links
import make_notebooks
import mystbook
import pytest
from check_links import Address, problem

FILE = bytes(1000)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ranged = self.path.startswith("/range") and "Range" in self.headers
        kind = "text/html" if self.path.startswith("/page") else "application/octet-stream"
        self.send_response(404 if self.path.startswith("/missing") else 206 if ranged else 200)
        self.send_header("Content-Type", kind)
        if not self.path.startswith("/endless"):
            self.send_header("Content-Length", "1" if ranged else str(len(FILE)))
        if ranged:
            self.send_header("Content-Range", f"bytes 0-0/{len(FILE)}")
        self.end_headers()
        self.wfile.write(FILE[:1] if ranged else FILE)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def small_book(make_book: Callable[..., Path]) -> Path:
    """A book of four pages, with its notebooks."""
    root = make_book("(ch-first)=\n# First\n")
    (root / "notebooks").mkdir()
    for name, text in make_notebooks.make(mystbook.load(root)).items():
        (root / "notebooks" / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("habit", ["range", "whole", "endless"])
def test_a_file_that_is_there(host: str, habit: str) -> None:
    assert problem(Address(f"{host}/{habit}", "x", len(FILE))) == ""
    assert problem(Address(f"{host}/{habit}", "x")) == ""


@pytest.mark.parametrize(
    ("path", "size", "said"),
    [
        ("missing", 0, "status 404"),
        ("page", 0, "a web page, not a file"),
        ("range", 999, "1000 bytes, not 999"),
        ("whole", 999, "1000 bytes, not 999"),
    ],
)
def test_what_a_reader_would_meet(host: str, path: str, size: int, said: str) -> None:
    assert problem(Address(f"{host}/{path}", "x", size)) == said


def test_nobody_answers() -> None:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port  # closed when the block ends: nobody listens there
    assert problem(Address(f"http://127.0.0.1:{port}/x", "x")).startswith("no answer (")


def test_every_mirror_of_every_file_once() -> None:
    urls = [address.url for address in check_links.mirrors()]
    assert len(urls) == len(set(urls)) > 20
    assert {address.needed_by for address in check_links.mirrors()} >= {
        "data mnist", "data fashion_mnist", "data svhn", "data celeba",
    }  # fmt: skip


def test_the_badge_of_each_notebook_opens_that_notebook(small_book: Path) -> None:
    asked = {a.needed_by: a.url for a in check_links.badges(small_book, "https://raw")}
    assert asked["badge of first.ipynb"] == (
        "https://raw/someone/small-book/trunk/notebooks/first.ipynb"
    )
    release = make_notebooks.RELEASE
    assert asked[f"first cells, which clone {release}"].endswith(f"/{release}/pyproject.toml")


def test_a_badge_that_opens_another(small_book: Path) -> None:
    file = small_book / "notebooks" / "first.ipynb"
    cells = json.loads(file.read_text())
    cells["cells"][0]["source"] = [
        line.replace("first.ipynb", "second.ipynb") for line in cells["cells"][0]["source"]
    ]
    file.write_text(json.dumps(cells))
    with pytest.raises(ValueError, match=r"first\.ipynb: the badge opens"):
        list(check_links.badges(small_book))
