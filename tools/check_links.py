"""What the book needs from the network: mirrors of the data, Colab badges, the tag they clone.

Links in the text are Sphinx's (the builder ``linkcheck``). This asks each address for its first
byte and says what a reader would meet: no answer, another size, a web page in a file's place.

    python tools/check_links.py       exit 1 and one line a dead address
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import mystbook
from make_notebooks import COLAB, RELEASE

from mcmcot_lite.data._sources import SOURCES

RAW = "https://raw.githubusercontent.com"
AGENT = "Mozilla/5.0 (link check of a book)"
PATIENCE = 30  # seconds an address


@dataclass(frozen=True)
class Address:
    """An address, who needs it, and the number of bytes it should have (0: any)."""

    url: str
    needed_by: str
    size: int = 0


def mirrors() -> Iterator[Address]:
    """Every mirror of every file of every data set."""
    for source in SOURCES.values():
        remotes = {file.name: file for files in source.files.values() for file in files}
        for file in remotes.values():
            for url in file.urls:
                yield Address(url, f"data {source.name}", file.size)


def badges(root: Path, raw: str = RAW) -> Iterator[Address]:
    """The file behind each notebook's badge, and the release that its first cell clones.

    ValueError: a notebook without a badge, or one that opens another file than itself.
    """
    book = mystbook.load(root)
    owner = book.repository.removeprefix("https://github.com/")
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        opens = re.findall(rf"\]\({re.escape(COLAB)}/github/(\S+?)\)", first)
        if opens != [f"{owner}/blob/{book.branch}/notebooks/{path.name}"]:
            raise ValueError(
                f"{path.name}: the badge opens {opens or 'nothing'}, not this notebook"
            )
        yield Address(f"{raw}/{opens[0].replace('/blob/', '/', 1)}", f"badge of {path.name}")
    yield Address(f"{raw}/{owner}/{RELEASE}/pyproject.toml", f"first cells, which clone {RELEASE}")


def problem(address: Address, patience: float = PATIENCE) -> str:
    """What is wrong with an address; "" if nothing is."""
    request = Request(address.url, headers={"Range": "bytes=0-0", "User-Agent": AGENT})
    try:
        with urlopen(request, timeout=patience) as answer:
            if answer.headers.get_content_type() == "text/html":
                return "a web page, not a file"
            length = answer.headers.get("Content-Length")
            if answer.status == 206:  # "bytes 0-0/9912422"
                length = answer.headers.get("Content-Range", "").rpartition("/")[2]
    except HTTPError as error:
        return f"status {error.code}"
    except (URLError, OSError, ValueError) as error:
        return f"no answer ({getattr(error, 'reason', error)})"
    if address.size and str(length or "").isdigit() and int(length) != address.size:
        return f"{length} bytes, not {address.size}"
    return ""


def main() -> int:
    """Asks all addresses; prints a line for each that fails."""
    addresses = [*mirrors(), *badges(mystbook.ROOT)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(problem, addresses))
    dead = [(a, said) for a, said in zip(addresses, found, strict=True) if said]
    for address, said in dead:
        print(f"{address.needed_by}: {address.url}: {said}")
    print(f"{len(addresses)} mirrors and badges, {len(dead)} of them dead")
    return bool(dead)


if __name__ == "__main__":
    sys.exit(main())
