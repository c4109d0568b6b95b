"""book.css where no script runs."""

import chromium
import offline_book
import pytest
from playwright.sync_api import sync_playwright

PROGRAM = chromium.program()


@pytest.mark.skipif(PROGRAM is None, reason=chromium.MISSING)
@pytest.mark.parametrize("scripts", [True, False])
def test_paper_without_scripts_keeps_solutions_folded(scripts, tmp_path):
    style = (offline_book.ROOT / "_static" / "book.css").read_text("utf-8")
    path = tmp_path / "page.html"
    path.write_text(
        f"<!doctype html><meta charset=utf-8><style>{style}</style>"
        '<div class="solution dropdown admonition"><p class="admonition-title">Title</p>'
        '<section id="solution-content"><p>Answer</p></section></div>'
        '<div class="admonition"><p class="admonition-title">Note</p><p>Open</p></div>',
        encoding="utf-8",
    )
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=PROGRAM, args=chromium.FLAGS)
        page = program.new_context(java_script_enabled=scripts).new_page()
        page.goto(path.as_uri())
        assert page.get_by_text("Answer").is_visible()
        page.emulate_media(media="print")
        assert page.get_by_text("Answer").is_visible() == scripts  # a script folds it itself
        assert page.get_by_text("Title").is_visible()
        assert page.get_by_text("Open").is_visible()
        program.close()
