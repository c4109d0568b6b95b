"""Menus over pictures: every picture is in the sheet at the place that the script computes."""

import base64
import io
import math
import re

import numpy as np
import pytest
import torch
from helpers import seeded
from PIL import Image

from mcmcot_lite import figures

ONE = torch.zeros(1, 1, 3, 3)


def sheet(figure):
    data = re.search(r"base64,([^)]+)\)", figure.html).group(1)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sheet_holds_every_picture_in_its_place(channels):
    x = torch.rand(3, 2, 5, channels, 4, 6, generator=seeded())
    menus = {"image": ["a", "b", "c"], "mask": ["<1>", "2"], "draw": list("12345")}
    figure = figures.choose(x, menus, alt='Says "what" to see.')
    found = sheet(figure)
    if channels == 1:
        found = found[:, :, None]
    assert found.shape == (6 * 4, 5 * 6, channels)
    for i, j, k in np.ndindex(3, 2, 5):
        row = i * 2 + j  # the last menu runs along a row
        part = found[4 * row : 4 * row + 4, 6 * k : 6 * k + 6]
        want = (255 * x[i, j, k]).round().permute(1, 2, 0).numpy()
        assert np.array_equal(part, want)
    assert figure.html.count("<select") == 3
    assert figure.html.count("<option>") == 10
    assert "&lt;1&gt;" in figure.html
    assert 'aria-label="Says &quot;what&quot; to see."' in figure.html
    assert "http" not in figure.html
    assert figure._repr_html_() == figure.html
    assert repr(figure).startswith("Chooser('Says")


def test_one_menu_can_be_turned_and_played():
    """What the buttons do is checked in a browser, by tools/check_browser.py."""
    x, menus = torch.rand(3, 2, 1, 4, 4), {"level": ["a", "b", "c"], "see": ["x", "y"]}
    plain, turned = (figures.choose(x, menus, alt="x", turn=t).html for t in (None, "level"))
    assert "<button" not in plain
    assert turned.count("<button") == 3
    assert turned.count(" data-turned") == 1
    assert 'data-name="level" data-turned' in turned
    assert 'aria-label="level: back"' in turned


def page_of(figure, folder):
    path = folder / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{figure.html}", encoding="utf-8")
    return path.as_uri()


def test_menus_are_hidden_without_javascript_and_said_with_it(browser, tmp_path):
    menus = {"level": ["a", "<b>", "c"], "see": ["x", "y"]}
    figure = figures.choose(torch.rand(3, 2, 1, 4, 4), menus, alt="x", turn="level")
    still = browser.new_context(java_script_enabled=False).new_page()
    still.goto(page_of(figure, tmp_path))
    assert still.locator("[data-picture]").is_visible()
    assert not any(part.is_visible() for part in still.locator("select, button").all())
    assert "Shown is level: a, see: x." in still.locator("body").inner_text()
    page = browser.new_page()
    page.goto(page_of(figure, tmp_path))
    said = page.locator("[role=status]")
    assert said.inner_text() == ""
    page.locator("select").first.select_option("<b>")
    assert said.inner_text() == "level: <b>, see: x"
    page.locator("[data-turn='1']").click()
    assert said.inner_text() == "level: c, see: x"
    page.locator("[data-play]").click()
    page.wait_for_function("document.querySelector('select').value === 'a'")
    assert said.inner_text() == "level: c, see: x"
    page.locator("[data-play]").click()
    assert said.inner_text() == f"level: {page.locator('select').first.input_value()}, see: x"
    box = said.bounding_box()
    assert max(box["width"], box["height"]) <= 1


def test_tiles_carry_their_names():
    x, menu = torch.rand(2, 1, 4, 9), {"level": ["a", "b"]}
    html = figures.choose(x, menu, alt="x", tiles=[["one", "<2>", "3"], ["4", "5", "6"]]).html
    assert "repeat(3,1fr)" in html
    assert re.findall(r">([^<>]+)</span></span>", html) == ["one", "&lt;2&gt;", "3", "4", "5", "6"]
    assert "repeat(" not in figures.choose(x, menu, alt="x").html


def test_values_outside_are_clipped():
    figure = figures.choose(torch.tensor([[[[-3.0, 7.0]]]]), {"one": ["a"]}, alt="x")
    assert sheet(figure).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("images", "choices", "more", "kind", "says"),
    [
        (torch.zeros(2, 1, 3, 3), {}, {}, ValueError, "choices must hold"),
        (torch.zeros(2, 1, 3, 3), ["a"], {}, TypeError, "choices must be a mapping"),
        (torch.zeros(2, 1, 3, 3), {"a": "xy"}, {}, TypeError, "must be a sequence of strings"),
        (torch.zeros(2, 1, 3, 3), {"a": ["x"]}, {}, ValueError, "must have 2 entries"),
        (torch.zeros(2, 1, 3, 3), {"a": ["x"] * 2, "b": ["y"]}, {}, ValueError, "images must have"),
        (torch.zeros(2, 2, 3, 3), {"a": ["x"] * 2}, {}, ValueError, "images must have"),
        (torch.zeros(2, 1, 3, 3) + math.nan, {"a": ["x"] * 2}, {}, ValueError, "finite"),
        (torch.zeros(2, 1, 3, 3), {"a": ["x"] * 2}, {"alt": ""}, ValueError, "alt must not"),
        (torch.zeros(2, 1, 3, 3), {"a": ["x"] * 2}, {"turn": "b"}, ValueError, "turn must be one"),
        (torch.zeros(2, 1, 3, 3), {"a": ["x"] * 2}, {"width": 0}, ValueError, "width must"),
        (ONE, {"a": ["x"]}, {"tiles": "ab"}, TypeError, "tiles must be rows of names"),
        (ONE, {"a": ["x"]}, {"tiles": ["ab"]}, TypeError, r"tiles\[0\] must be a sequence"),
        (ONE, {"a": ["x"]}, {"tiles": [["a"], []]}, ValueError, "tiles must have rows of one"),
        (ONE, {"a": ["x"]}, {"tiles": [["a"], ["b", "c"]]}, ValueError, "tiles must have rows"),
        (torch.zeros(5000, 1, 1, 1), {"a": ["x"] * 5000}, {}, ValueError, "at most 4096"),
    ],
)
def test_bad_input_is_named(images, choices, more, kind, says):
    with pytest.raises(kind, match=says):
        figures.choose(images, choices, **({"alt": "x"} | more))
