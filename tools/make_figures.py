"""Every figure of the built book for slides and handouts: PNG, and SVG where it is drawn by lines.

    python tools/make_figures.py [--build DIR] [--out DIR]     after `make book`

Still figures come out of the executed pages, which hold both forms, and picture files are copied;
figures that play are taken from the pages by a real browser, as they first appear. README.txt lists
file, number, caption and page. The text's licence holds: CC BY 4.0.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mystbook
from check_browser import PATIENCE, SCRIPT
from chromium import FLAGS, MISSING, program
from execute_pages import notebook_of
from mystbook import Book, BookError
from playwright.sync_api import sync_playwright

PLAYED = "[data-lab], [data-choose], .plotly-lazy"
HEAD = """\
Figures of "{title}".
Text and figures: CC BY 4.0. Name the book and its authors; see CITATION.cff in {repository}.

"""


@dataclass
class Figure:
    """A figure that a cell draws, or a picture file of the page."""

    page: str
    name: str
    number: str
    caption: str
    source: Path | None = None
    forms: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """Name of its files: chapter and figure, so that they stand in the book's order."""
        chapter, _, count = self.number.rpartition(".")
        where = f"{int(chapter):02d}-{int(count):02d}" if chapter else self.page
        return f"{where}-{self.name.removeprefix('fig-')}"


def plain(book: Book, caption: str) -> str:
    """A caption without roles: numbers and titles in their place."""

    def words(role: re.Match[str]) -> str:
        name, text = role["role"], role["text"]
        if name == "doc":
            return book.pages[text].title
        if name not in ("eq", "ref", "numref"):
            return text
        label = book.labels[text]
        kinds = {"eq": "Eq. ({})", "numref": "Fig. {}"}
        return kinds[name].format(label.number) if name in kinds else label.title

    return re.sub(r"\{(?P<role>[\w:]+)\}`(?P<text>[^`]*)`", words, caption)


def figures_of(book: Book, page: str) -> list[Figure]:
    """The figures of a page, in its order."""
    found = []
    for block in book.pages[page].walk():
        if not isinstance(block, mystbook.Directive):
            continue
        source = None
        if block.name == "figure":
            name, caption = block.options.get("name"), block.body
            source = (book.pages[page].path.parent / block.argument).resolve()
        else:
            name, caption = block.figure.get("name"), block.figure.get("caption")
        if name and caption:
            words = plain(book, " ".join(str(caption).split()))
            found.append(Figure(page, name, book.labels[name].number, words, source))
    return found


def still(notebook: dict[str, Any]) -> dict[str, dict[str, bytes]]:
    """Name of a figure -> its forms, out of an executed page."""
    found: dict[str, dict[str, bytes]] = {}
    for cell in notebook["cells"]:
        about = cell.get("metadata", {}).get("mystnb") or {}
        name = (about.get("figure") or {}).get("name")
        for output in cell.get("outputs", []) if name else []:
            data = output.get("data", {})
            forms = {}
            if "image/png" in data:
                forms["png"] = base64.b64decode("".join(data["image/png"]))
            if "image/svg+xml" in data:
                forms["svg"] = "".join(data["image/svg+xml"]).encode()
            if forms:
                found[name] = forms
    return found


def played(html: Path, wanted: dict[str, list[str]]) -> dict[str, dict[str, bytes]]:
    """The same for figures that play: page -> their names."""
    path = program()
    if path is None:
        raise BookError(MISSING)
    found: dict[str, dict[str, bytes]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for name, labels in wanted.items():
            page = browser.new_page(viewport={"width": 1300, "height": 900}, device_scale_factor=2)
            page.goto((html / "book" / f"{name}.html").as_uri())
            ready = "document.documentElement.dataset.math === 'ready'"
            page.wait_for_function(ready, timeout=PATIENCE)
            page.evaluate("document.documentElement.dataset.theme = 'light'")
            page.evaluate(SCRIPT)
            page.evaluate("patience => drawFigures(patience)", PATIENCE)
            for label in labels:
                figure = page.locator(f"figure#{label}").locator(PLAYED).first
                figure.scroll_into_view_if_needed()
                found[label] = {"png": figure.screenshot()}
                if svg := vector(page, label):
                    found[label]["svg"] = svg.encode()
            page.close()
        browser.close()
    return found


def vector(page: Any, label: str) -> str:
    """A figure that plays as SVG; nothing where it is made of pixels."""
    return page.evaluate(
        """async (label) => {
          const figure = document.querySelector(`figure#${label}`);
          const svg = figure.querySelector("[data-lab] svg");
          if (svg) return new XMLSerializer().serializeToString(svg);
          const plot = figure.querySelector(".plotly-lazy");
          if (!plot || plot.querySelector(".gl-container canvas")) return "";
          const address = await Plotly.toImage(plot, { format: "svg", width: 800, height: 600 });
          return decodeURIComponent(address.slice(address.indexOf(",") + 1));
        }""",
        label,
    )


def write(book: Book, build: Path, out: Path) -> list[Figure]:
    """Writes all figures; returns them in the book's order."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    figures = [figure for page in book.pages for figure in figures_of(book, page)]
    forms = {f.name: {f.source.suffix[1:]: f.source.read_bytes()} for f in figures if f.source}
    for page in dict.fromkeys(f.page for f in figures if not f.source):
        sources = [  # executed before the build, or by it: then the second holds the outputs
            notebook_of(build / "executed", page),
            build / "jupyter_execute" / "book" / f"{page}.ipynb",
        ]
        if not any(source.is_file() for source in sources):
            raise BookError(f"{sources[-1]} is not there; run `make book`")
        for source in sources:
            if source.is_file():
                forms |= still(json.loads(source.read_text(encoding="utf-8")))
    rest: dict[str, list[str]] = {}
    for figure in figures:
        if figure.name not in forms:
            rest.setdefault(figure.page, []).append(figure.name)
    if rest:
        forms |= played(build / "html", rest)
    lines = [HEAD.format(title=book.config["title"], repository=book.repository)]
    for figure in figures:
        figure.forms = tuple(forms[figure.name])
        for form, content in forms[figure.name].items():
            (out / f"{figure.stem}.{form}").write_bytes(content)
        lines.append(
            f"{figure.stem} ({', '.join(figure.forms)}): Fig. {figure.number}, {figure.page}. "
            f"{figure.caption}\n"
        )
    (out / "README.txt").write_text("".join(lines), encoding="utf-8")
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Writes the archive and says where it is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=mystbook.ROOT / "_build")
    parser.add_argument("--out", type=Path, help="folder; without it figures/ in the build")
    options = parser.parse_args(arguments)
    build: Path = options.build.resolve()
    out = options.out or build / "figures"
    try:
        found = write(mystbook.load(mystbook.ROOT), build, out)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    archive = shutil.make_archive(str(out), "zip", out)
    lines = sum("svg" in figure.forms for figure in found)
    print(f"{archive}: {len(found)} figures as PNG, {lines} of them as SVG too")
    return 0


if __name__ == "__main__":
    sys.exit(main())
