"""The book as one PDF, printed from the built pages by a real browser; solutions stay folded.

    python tools/make_pdf.py [--html DIR] [--out FILE] [PAGE ...]     after `make book`

Pages follow the table of contents, with a bookmark each. Figures that play are printed as they
first appear. Needs chromium on PATH, and no network.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import mystbook
from check_browser import PATIENCE, SCRIPT, SHEET
from chromium import FLAGS, MISSING, program
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter

MARGIN = {"top": "16mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}
FOOT = (
    '<div style="font-size:8px;width:100%;text-align:center;color:#555">'
    '<span class="title"></span> &#183; <span class="pageNumber"></span></div>'
)


def printed(browser: Browser, address: str) -> bytes:
    """One page of the book, as the browser prints it."""
    page = browser.new_page(viewport=SHEET)  # pyright: ignore[reportArgumentType]
    try:
        page.goto(address)
        ready = "document.documentElement.dataset.math === 'ready'"
        page.wait_for_function(ready, timeout=PATIENCE)
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        page.evaluate(SCRIPT)
        page.evaluate("patience => drawFigures(patience)", PATIENCE)
        return page.pdf(
            format="A4",
            margin=MARGIN,  # pyright: ignore[reportArgumentType]
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOT,
        )
    finally:
        page.close()


def write(html: Path, names: dict[str, str], out: Path) -> int:
    """Prints the pages, name -> title, into one file; returns its number of sheets."""
    path = program()
    if path is None:
        raise FileNotFoundError(MISSING)
    whole = PdfWriter()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for name, title in names.items():
            part = PdfReader(io.BytesIO(printed(browser, (html / f"{name}.html").as_uri())))
            first = len(whole.pages)
            for sheet in part.pages:
                whole.add_page(sheet)
            whole.add_outline_item(title=title, page_number=first)
        browser.close()
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file:
        whole.write(file)
    return len(whole.pages)


def main(arguments: list[str] | None = None) -> int:
    """Writes the PDF and says where it is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    root = mystbook.ROOT
    parser.add_argument("--html", type=Path, default=root / "_build" / "html")
    parser.add_argument("--out", type=Path, default=root / "_build" / "book.pdf")
    parser.add_argument("pages", nargs="*", help="only these, such as langevin")
    options = parser.parse_args(arguments)
    book, html = mystbook.load(root), options.html.resolve()
    titles = {
        f"book/{p.name}": f"{p.chapter}. {p.title}" if p.chapter else p.title
        for p in book.pages.values()
        if not options.pages or p.name in options.pages
    }
    lost = [name for name in titles if not (html / f"{name}.html").is_file()]
    if lost or not titles:
        said = f"error: {html} lacks {', '.join(lost) or 'such pages'}; run `make book`"
        print(said, file=sys.stderr)
        return 1
    try:
        sheets = write(html, titles, options.out)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out} ({sheets} pages)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
