"""The built book as a reader meets it: opened from disk, searched, played, unfolded, printed."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import check_browser
import chromium
import make_pdf
import plotly_still
import pytest
from bs4 import BeautifulSoup, SoupStrainer
from pypdf import PdfReader

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
CHAPTER = HTML / "book" / "langevin.html"
PAGE_BYTES, FIGURE_BYTES, STILL_BYTES = 1.5 * 2**20, 2**20, 60_000
built = pytest.mark.skipif(not CHAPTER.is_file(), reason="the book is not built: make book")
seen = pytest.mark.skipif(chromium.program() is None, reason=chromium.MISSING)
pytestmark = [built]
SOLUTION = "def one_step"  # a line of a solution of the chapter


@seen
def test_a_reader_opens_searches_plays_and_unfolds(browser):
    outside: list[str] = []
    context = check_browser.make_context(browser, "light", {"width": 1300, "height": 900}, outside)
    page = context.new_page()
    page.goto((HTML / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    page.keyboard.press("Control+K")
    page.keyboard.type("metropolis")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=metropolis*")
    hit = page.locator("#search-results li a", has_text="Langevin").first
    hit.click()
    page.wait_for_url("**/langevin.html*")
    page.wait_for_function("document.documentElement.dataset.math === 'ready'")
    figure = page.locator("[data-lab=chains]")
    figure.scroll_into_view_if_needed()
    before = figure.locator("[data-said]").inner_text()
    figure.locator("[data-noise]").click()
    assert figure.locator("[data-said]").inner_text() != before
    line = page.get_by_text(re.compile(r"^\s*def one_step|one_step")).first
    assert not line.is_visible()
    solution = page.locator("#sol-lan-code")
    solution.scroll_into_view_if_needed()
    solution.locator("button, summary").first.click()
    page.wait_for_timeout(500)
    assert SOLUTION in solution.inner_text()
    assert outside == []
    context.close()


@seen
def test_plotly_figures_have_a_still_without_javascript(browser):
    pages = [p for p in sorted(HTML.glob("book/*.html")) if "plotly-lazy" in p.read_text("utf-8")]
    assert pages
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for path in pages:
        page.goto(path.as_uri())
        for figure in page.locator(".plotly-lazy").all():
            still = figure.locator("img")
            assert still.is_visible()
            assert still.get_attribute("alt") == figure.get_attribute("aria-label")
            assert still.evaluate("image => image.naturalWidth") == plotly_still.WIDTH
            data = still.get_attribute("src").partition(",")[2]
            assert len(base64.b64decode(data)) < STILL_BYTES
    context.close()


def parts(page: BeautifulSoup) -> list[str]:
    """What each figure that plays carries with it."""
    played = page.select("[data-lab], [data-choose], script[data-for]")
    return [str(part) for part in played]


@pytest.mark.parametrize("path", sorted((HTML / "book").glob("*.html")), ids=lambda p: p.stem)
def test_pages_and_figures_are_light(path):
    text = path.read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    own = {(path.parent / str(i["src"])).resolve() for i in page.select("article img[src]")}
    images = [p for p in own if p.parent.name == "_images"]
    assert len(text.encode()) + sum(p.stat().st_size for p in images) < PAGE_BYTES
    for part in parts(page):
        assert len(part.encode()) < FIGURE_BYTES
    assert all(p.stat().st_size < FIGURE_BYTES for p in images)


@seen
def test_print_does_not_reveal_solutions(tmp_path):
    out = tmp_path / "book.pdf"
    tool = str(Path(make_pdf.__file__))  # in a process of its own: this one has a browser open
    command = [sys.executable, tool, "--html", str(HTML), "--out", str(out), "langevin"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    printed = PdfReader(out)
    text = "\n".join(sheet.extract_text() for sheet in printed.pages)
    assert len(printed.pages) > 5
    assert said == f"{out} ({len(printed.pages)} pages)\n"
    assert [item.title for item in printed.outline] == ["3. Langevin dynamics"]
    assert "Metropolis" in text
    assert "one_step" not in text
    assert "too_far" not in text


def bare(text: str) -> str:
    """The text without its white space: where lines wrap, they hold the same."""
    return "".join(text.split())


@seen
def test_print_holds_the_longest_line_of_code(browser):
    page = BeautifulSoup(CHAPTER.read_text(encoding="utf-8"), "html.parser")
    for folded in page.select("details, .dropdown"):
        folded.decompose()
    code = [part.get_text() for part in page.select("article pre")]
    longest = max("\n".join(code).splitlines(), key=len)
    sheets = PdfReader(io.BytesIO(make_pdf.printed(browser, CHAPTER.as_uri()))).pages
    assert len(longest) > 80
    assert bare(longest) in bare("".join(sheet.extract_text() for sheet in sheets))


@seen
@pytest.mark.parametrize("name", ["index", "langevin", "optimal_transport", "evidence"])
def test_paper_cuts_nothing(browser, name):
    page = browser.new_page(viewport=check_browser.DESKTOP)
    page.goto((HTML / "book" / f"{name}.html").as_uri())
    page.wait_for_function("document.documentElement.dataset.math === 'ready'")
    page.evaluate(check_browser.SCRIPT)
    page.evaluate("patience => drawFigures(patience)", check_browser.PATIENCE)
    assert check_browser.print_problems(page) == []
    page.close()


@seen
def test_the_print_button_waits_for_figures(browser):
    page = browser.new_page(viewport=check_browser.DESKTOP)
    states = "[...document.querySelectorAll('.plotly-lazy')].map(figure => figure.dataset.state)"
    page.add_init_script(f"window.print = () => {{ window.printed = {states}; }}")
    page.goto((HTML / "book" / "optimal_transport.html").as_uri())
    assert set(page.evaluate(states)) != {"drawn"}
    page.evaluate("document.querySelector('.btn-download-pdf-button').click()")
    page.wait_for_function("window.printed", timeout=check_browser.PATIENCE)
    assert set(page.evaluate("window.printed")) == {"drawn"}
    page.close()


def test_every_local_link_leads_to_a_file():
    dead = set()
    for path in [*HTML.glob("*.html"), *HTML.glob("book/*.html")]:
        text = path.read_text(encoding="utf-8")
        for link in BeautifulSoup(text, "html.parser", parse_only=SoupStrainer(["a", "link"])):
            address = str(getattr(link, "attrs", {}).get("href", "")).split("#")[0].split("?")[0]
            local = address and not re.match(r"[a-z]+:", address)
            if local and not (path.parent / address).is_file():
                dead.add(f"{path.name}: {address}")
    assert dead == set()


def test_pages_that_are_not_there_are_named(tmp_path, capsys):
    assert make_pdf.main(["--html", str(tmp_path), "langevin"]) == 1
    assert "lacks book/langevin; run `make book`" in capsys.readouterr().err
    assert make_pdf.main(["--html", str(HTML), "nothing"]) == 1
