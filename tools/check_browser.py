"""Opens every page of the built book in a real browser, from ``file://``, with the network blocked.

Each page is loaded twice: light at 1300 pixels, dark at 390 pixels (a phone); each time the other
colour scheme is switched on afterwards. What must hold: no request leaves the book, no script
fails, every formula is typeset and every plotly figure is drawn, every picture loads and has alt
text, headings go down one level at a time, all that is clicked or moved has a name to be read
aloud, every text stands out from what it stands on (so on slides), nothing makes the page wider
than the screen, paper cuts nothing off, every figure that can be played answers to mouse and
keyboard, and the search finds a word, which can be read where it leads.

    python tools/check_browser.py [--html DIR] [--shots DIR] [--require] [--jobs 2]

Needs chromium on PATH. Without it the check is skipped, or fails with ``--require``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chromium import FLAGS, MISSING, program
from drive_figures import Driver
from playwright.sync_api import BrowserContext, Error, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
DESKTOP, PHONE = {"width": 1300, "height": 900}, {"width": 390, "height": 844}
SHEET = {"width": 673, "height": 1400}  # A4 without its margins is 673 pixels wide
SLIDE = {"width": 1280, "height": 720}
SCRIPT = (Path(__file__).parent / "check_browser.js").read_text(encoding="utf-8")
PIECE = 4000  # pixels of height in a screenshot
PATIENCE = 60_000  # milliseconds for a formula or a figure on a slow machine


@dataclass
class Report:
    """What was found on one page."""

    page: str
    problems: list[str] = field(default_factory=list)
    formulas: int = 0
    figures: int = 0
    images: int = 0
    played: int = 0
    seconds: float = 0.0

    def add(self, problem: str) -> None:
        """Notes a problem once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def __str__(self) -> str:
        verdict = "ok  " if not self.problems else "FAIL"
        line = (
            f"{verdict} {self.page:<36} formulas {self.formulas:>4}  figures {self.figures:>2}"
            f"  images {self.images:>2}  played {self.played:>2}  {self.seconds:4.1f} s"
        )
        return "\n".join([line, *(f"     - {problem}" for problem in self.problems)])


# A check and what it takes after the browser and the folder of the built book.
Task = tuple[Callable[..., Report], tuple[Any, ...]]


def open_page(context: BrowserContext, address: str, report: Report) -> Any:
    """A page that is loaded and typeset; whatever goes wrong on the way is in the report."""
    page = listened(context, report)
    page.goto(address)
    page.wait_for_function("document.documentElement.dataset.math === 'ready'", timeout=PATIENCE)
    return page


def listened(context: BrowserContext, report: Report) -> Any:
    """An empty page; whatever fails on it from now on is in the report."""
    page = context.new_page()
    page.on("pageerror", lambda error: report.add(f"script error: {str(error)[:200]}"))

    def console(message: Any) -> None:
        if message.type == "error":
            report.add(f"console: {message.text[:200]}")

    page.on("console", console)
    page.on("requestfailed", lambda request: report.add(f"request failed: {request.url[:200]}"))
    return page


def make_context(
    browser: Any, scheme: str, size: dict[str, int], outside: list[str]
) -> BrowserContext:
    """A fresh profile; every request that is not to a file is refused and written down."""
    context: BrowserContext = browser.new_context(
        viewport=size, color_scheme=scheme, has_touch=size == PHONE
    )

    def refuse(route: Any) -> None:
        outside.append(route.request.url)
        route.abort()

    context.route(lambda url: not url.startswith(("file:", "data:", "blob:")), refuse)
    return context


def check_page(browser: Any, html: Path, name: str, shots: Path | None) -> Report:
    """One page: light on a desktop, dark on a phone, and each switched to the other scheme."""
    report, start = Report(name), time.monotonic()
    outside: list[str] = []
    for first, second, size, label in (
        ("light", "dark", DESKTOP, "desktop"),
        ("dark", "light", PHONE, "phone"),
    ):
        context = make_context(browser, first, size, outside)
        try:
            page = open_page(context, (html / name).as_uri(), report)
            page.evaluate(SCRIPT)
            page.evaluate("patience => drawFigures(patience)", PATIENCE)
            for scheme in (first, second):
                page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
                page.wait_for_timeout(150)
                found = page.evaluate("inspectPage()")
                for problem in found["problems"]:
                    report.add(f"{problem} ({label}, {scheme})")
                if shots:
                    file = f"{name.removesuffix('.html').replace('/', '-')}-{label}-{scheme}"
                    take_shots(page, shots / file, size)
            driver = Driver(page)
            for problem in driver.all():
                report.add(f"{problem} ({label})")
            report.played = driver.done
            report.formulas, report.figures = found["formulas"], found["figures"]
            report.images = found["images"]
            if size == DESKTOP:
                for problem in print_problems(page):
                    report.add(problem)
        except Error as error:
            report.add(f"{label}: {error.message.splitlines()[0]}")
        finally:
            context.close()
    for address in outside:
        report.add(f"outside request: {address[:200]}")
    report.seconds = time.monotonic() - start
    return report


def print_problems(page: Any) -> list[str]:
    """What A4 would cut of a page that has the functions of :data:`SCRIPT`; and its theme."""
    theme = "document.documentElement.dataset.theme"
    page.evaluate(f"{theme} = 'dark'")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    by_day = page.evaluate(theme) == "light"
    page.emulate_media(media="print")
    page.set_viewport_size(SHEET)
    found: list[str] = []
    for _ in range(20):  # formulas and figures follow the width, on a busy machine late
        page.wait_for_timeout(500)
        found = page.evaluate("printProblems()")
        if not found:
            break
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    if not by_day or page.evaluate(theme) != "dark":
        found.append("read in the dark, it is not printed by day, or does not return")
    return found


def take_shots(page: Any, path: Path, size: dict[str, int]) -> None:
    """The whole page as one picture, or as several of it where it is longer than browsers paint."""
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(height, PIECE)})
    for number, top in enumerate(range(0, height, PIECE), 1):
        page.evaluate(f"window.scrollTo(0, {top})")
        page.wait_for_timeout(150)
        page.screenshot(path=f"{path}-{number}.png")
    page.set_viewport_size(size)
    page.evaluate("window.scrollTo(0, 0)")


@contextmanager
def visit(browser: Any, name: str, size: dict[str, int]) -> Iterator[tuple[Report, BrowserContext]]:
    """A report, and a profile whose failures and requests it takes down."""
    report, start, outside = Report(name), time.monotonic(), list[str]()
    context = make_context(browser, "light", size, outside)
    try:
        yield report, context
    except Error as error:
        report.add(error.message.splitlines()[0])
    finally:
        context.close()
        for address in outside:
            report.add(f"outside request: {address[:200]}")
        report.seconds = time.monotonic() - start


def check_search(browser: Any, html: Path, word: str) -> Report:
    """The search page finds a word with no server behind it, and the word can be read there."""
    with visit(browser, f"search.html?q={word}", DESKTOP) as (report, context):
        page = open_page(context, (html / "search.html").as_uri() + f"?q={word}", report)
        page.wait_for_selector("#search-results li a", timeout=PATIENCE)
        page.wait_for_timeout(300)  # what the search fetches late
        if not page.locator("#search-results li a").count():
            report.add("the search finds nothing")
        search_problems(page, report)
        page.locator("#search-results li a").first.click()
        page.wait_for_selector("article span.highlighted", timeout=PATIENCE)
        search_problems(page, report)
    return report


def search_problems(page: Any, report: Report) -> None:
    """What cannot be read, or has no name, on a page of the search or one that it leads to."""
    page.evaluate(SCRIPT)
    for scheme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
        for problem in page.evaluate("[...contrastProblems(), ...nameProblems()]"):
            report.add(f"{problem} ({scheme})")


def check_deck(browser: Any, html: Path, name: str) -> Report:
    """Slides: keys turn them, unless a figure has the focus; each fits its screen and can be read,
    and nothing is asked from outside.
    """
    with visit(browser, f"slides/{name}", SLIDE) as (report, context):
        page = listened(context, report)
        page.goto((html / "slides" / name).as_uri())
        page.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise")
        page.evaluate("MathJax.startup.promise.then(() => true)")
        page.evaluate(SCRIPT)
        told: set[str] = set()
        count = page.locator("main > section").count()
        for k in range(1, count + 1):
            slide = page.locator("main > section.now")
            page.wait_for_timeout(100)
            if page.locator("[data-place]").inner_text() != f"{k} / {count}":
                report.add(f"slide {k} is not reached by the arrow key")
            high, room = (slide.evaluate(f"s => s.{key}Height") for key in ("scroll", "client"))
            if high > room + 2:
                head = slide.locator("h1, h2").first.inner_text()
                report.add(f"slide {k} ({head}) is {high} pixels high in {room}")
            report.formulas += slide.locator("mjx-container").count()
            report.figures += slide.locator("figure").count()
            plot = slide.locator(".plotly-lazy")
            if plot.count():
                slide.locator(".plotly-lazy[data-state=drawn]").wait_for(timeout=PATIENCE)
                plot.focus()
                page.keyboard.press("ArrowRight")
                if page.locator("[data-place]").inner_text() != f"{k} / {count}":
                    report.add(f"slide {k} turns by a key that is its figure's")
                plot.evaluate("figure => figure.blur()")
            found = set(page.evaluate("[...contrastProblems(), ...nameProblems()]"))
            for problem in sorted(found - told):
                report.add(f"slide {k}: {problem}")
            told |= found
            page.keyboard.press("ArrowRight")
        if page.locator("mjx-merror, [data-mjx-error]").count():
            report.add("MathJax error")
    return report


def check_share(program: str, html: Path, tasks: list[Task]) -> list[Report]:
    """Some of the checks one after the other, in a browser of their own."""
    reports: list[Report] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for check, arguments in tasks:
            reports.append(check(browser, html, *arguments))
            print(reports[-1], flush=True)
        browser.close()
    return reports


def main(arguments: list[str] | None = None) -> int:
    """Checks all pages; the exit code is 1 if one has a problem."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--html", type=Path, default=ROOT / "_build" / "html", help="the built book"
    )
    parser.add_argument("--shots", type=Path, help="write full-page screenshots into this folder")
    parser.add_argument("--require", action="store_true", help="fail where there is no chromium")
    parser.add_argument("--word", default="posterior", help="what to search for")
    parser.add_argument("--jobs", type=int, default=2, help="browsers at a time (default 2)")
    parser.add_argument("pages", nargs="*", help="only these pages, such as book/index.html")
    options = parser.parse_args(arguments)

    html: Path = options.html.resolve()
    found = [*sorted(html.glob("book/**/*.html")), *html.glob("genindex.html")]
    built = [path.relative_to(html).as_posix() for path in found]
    pages = options.pages or built
    if not pages:
        print(f"error: no pages in {html}; run `make book`", file=sys.stderr)
        return 1
    path = program()
    if path is None:
        verdict = "required, so this is an error" if options.require else "skipped"
        print(f"browser check: {MISSING}; {verdict}")
        return int(options.require)
    start = time.monotonic()
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)

    tasks: list[Task] = [(check_page, (name, options.shots)) for name in pages]
    if not options.pages:
        tasks.append((check_search, (options.word,)))
        tasks += [(check_deck, (path.name,)) for path in sorted(html.glob("slides/*.html"))]
    shares = [(path, html, tasks[k :: options.jobs]) for k in range(options.jobs)]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        reports = [report for share in pool.starmap(check_share, shares) for report in share]
    bad = sum(bool(report.problems) for report in reports)
    seconds = time.monotonic() - start
    print(f"browser check: {len(reports) - bad} of {len(reports)} pages ok in {seconds:.0f} s")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
