"""What is wrong on a page is found by the functions that check_browser.py runs in it."""

import check_browser
import pytest
from playwright.sync_api import Browser, Page

GOOD = """<!doctype html><html lang="en"><style>body { color: #222; background: #fff }</style>
<header>Head</header><nav class="bd-sidebar"><a href="#a">Parts</a></nav>
<article><h1>Title</h1><h2 id="a">Part</h2>
<p>Text <a href="#a"><img alt="home" src="data:,"></a></p>
<div class="lab" style="background: #fff">
<label>step <input type="range"></label> <label for="s">class</label>
<select id="s"><option>1</select>
<input type="range" aria-label="noise"> <button title="play">&#9654;</button>
<svg width="90" height="20"><text y="15" style="fill: #333">axis</text></svg></div></article>
<footer>Foot</footer></html>"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    return browser.new_page()


def problems(page: Page, text: str) -> list[str]:
    page.set_content(text)
    page.evaluate(check_browser.SCRIPT)
    return page.evaluate("[...headingProblems(), ...nameProblems(), ...contrastProblems()]")


def test_a_good_page_has_no_problem(page: Page) -> None:
    assert problems(page, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("<h1>Title</h1>", "<h2>Title</h2>", "0 headings of level 1"),
        ("<p>", "<h1>More</h1><p>", "2 headings of level 1"),
        ("<p>", "<h5>More</h5><p>", 'heading level 5 follows level 2: "More"'),
        ("<label>step", "<label>", "no name to be read aloud: input"),
        (' aria-label="noise"', "", "no name to be read aloud: input"),
        (' aria-label="noise"', ' aria-labelledby="nowhere"', "no name to be read aloud: input"),
        ('for="s"', "", "no name to be read aloud: select #s"),
        (' title="play">&#9654;', ">", "no name to be read aloud: button"),
        (
            ' title="play">&#9654;',
            '><i aria-hidden="true">x</i>',
            "no name to be read aloud: button",
        ),
        ('alt="home"', 'alt=""', "no name to be read aloud: a"),
        ("<p>", '<p style="opacity: 0.4">', 'contrast 2.4: p, "Text"'),
        ("<article>", '<article style="opacity: 0.4">', 'contrast 2.4: h2, "Part"'),
        ("<p>", '<p style="color: #2226">', 'contrast 2.4: p, "Text"'),
        ("<p>", '<p style="background: #0008">', 'contrast 3.6: p, "Text"'),
        ("fill: #333", "fill: #bbb", 'contrast 1.9: text, "axis"'),
        ("fill: #333", "fill: #333; fill-opacity: 0.4", 'contrast 2.2: text, "axis"'),
        ("fill: #333", "fill: #333; opacity: 0.4", 'contrast 2.2: text, "axis"'),
        ("<header>", '<header style="color: #bbb">', 'contrast 1.9: header, "Head"'),
        ("<footer>", '<footer style="color: #bbb">', 'contrast 1.9: footer, "Foot"'),
        (
            '<a href="#a">Parts',
            '<a href="#a" style="color: #bbb">Parts',
            'contrast 1.9: a, "Parts"',
        ),
    ],
)
def test_each_problem_is_found(page: Page, old: str, new: str, found: str) -> None:
    assert old in GOOD
    assert found in problems(page, GOOD.replace(old, new, 1))


def test_a_colour_that_fades_in_is_read_at_its_end(page: Page) -> None:
    page.set_content(GOOD.replace("<p>", '<p style="color: #bbb; transition: color 9s">'))
    page.evaluate(check_browser.SCRIPT)
    assert page.evaluate("contrastProblems()") == ['contrast 1.9: p, "Text"']
    page.evaluate("document.querySelector('p').style.color = '#222'")
    assert page.evaluate("contrastProblems()") == []
