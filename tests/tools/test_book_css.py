"""book.css where no script runs."""

import base64
import io

import offline_book
import pytest
from PIL import Image

STYLE = (offline_book.ROOT / "_static" / "book.css").read_text("utf-8")
HEAD = f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>"


def opened(browser, path, body, **look):
    path.write_text(HEAD + body, encoding="utf-8")
    page = browser.new_context(**look).new_page()
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("scripts", [True, False])
def test_paper_without_scripts_keeps_solutions_folded(browser, scripts, tmp_path):
    body = (
        '<div class="solution dropdown admonition"><p class="admonition-title">Title</p>'
        '<section id="solution-content"><p>Answer</p></section></div>'
        '<div class="admonition"><p class="admonition-title">Note</p><p>Open</p></div>'
    )
    page = opened(browser, tmp_path / "page.html", body, java_script_enabled=scripts)
    assert page.get_by_text("Answer").is_visible()
    page.emulate_media(media="print")
    assert page.get_by_text("Answer").is_visible() == scripts  # a script folds it itself
    assert page.get_by_text("Title").is_visible()
    assert page.get_by_text("Open").is_visible()


def test_a_still_without_scripts_leaves_no_gap(browser, tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (690, 560)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    body = (
        '<div class="bd-article"><div class="plotly-lazy" style="min-height:560px">'
        f'<img class="plotly-still" src="data:image/png;base64,{data}" alt="x"></div></div>'
    )
    look = {"java_script_enabled": False, "viewport": {"width": 390, "height": 844}}
    page = opened(browser, tmp_path / "page.html", body, **look)
    box = page.locator(".plotly-lazy").bounding_box()
    assert box["height"] == pytest.approx(box["width"] * 560 / 690, abs=10)
