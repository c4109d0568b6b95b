"""plotly-lazy.js under a finger: the page moves, the plane stays, space fits the screen."""

import json
import shutil
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import offline_book
import pytest
import torch
from driving import swipe

from mcmcot_lite import figures

ROOT = Path(offline_book.ROOT)
SHOWN = "document.querySelector('.plotly-lazy')._fullLayout.sliders[0].active"
PHONE = {"width": 390, "height": 844}
SIDEWAYS = {"width": 844, "height": 390}


@pytest.fixture(scope="module")
def phone(browser):
    return browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)


def opened(phone, tmp_path, figure, screen=PHONE):
    """A page that holds the figure half way down, drawn."""
    output = SimpleNamespace(
        mime_type=offline_book.PLOTLY_MIME,
        content=json.loads(figure.to_json()),
        line=1,
        cell_index=2,
        output_index=0,
    )
    (node,) = offline_book.PlotlyRenderer.handle_mime(None, output, False)
    for name in ("plotly-lazy.js", "book.css"):
        shutil.copy(ROOT / "_static" / name, tmp_path)
    library = distribution("plotly").locate_file("plotly/package_data/plotly.min.js")
    shutil.copy(str(library), tmp_path)
    space = '<p style="height:1500px">text</p>'
    page = phone.new_page()
    page.set_viewport_size(screen)
    path = tmp_path / "page.html"
    path.write_text(
        '<!doctype html><meta charset=utf-8><meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="book.css"><script defer src="plotly-lazy.js"></script>'
        f"{space}{node.astext()}{space}",
        encoding="utf-8",
    )
    page.goto(path.as_uri())
    plot = page.locator(".plotly-lazy")
    plot.evaluate("plot => plot.scrollIntoView({ block: 'center' })")
    page.locator(".plotly-lazy[data-state=drawn]").wait_for(timeout=60_000)
    plot.evaluate("plot => plot.scrollIntoView({ block: 'center' })")
    return page, plot


def clouds(d):
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(40, d, generator=rng)
    return {name: start + k for k, name in enumerate("0123")}


def test_a_finger_scrolls_over_a_plane_and_moves_its_slider(phone, tmp_path):
    page, plot = opened(phone, tmp_path, figures.play(clouds(2), alt="clouds"))
    ranges = "plot => ['xaxis', 'yaxis'].map((axis) => plot._fullLayout[axis].range.join())"
    before, top = plot.evaluate(ranges), page.evaluate("scrollY")
    box = plot.bounding_box()
    swipe(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 3, 200)
    page.wait_for_function("top => scrollY > top + 100", arg=top)
    assert plot.evaluate(ranges) == before
    plot.evaluate("plot => plot.scrollIntoView({ block: 'center' })")
    grip = plot.locator(".slider-grip-rect").bounding_box()
    swipe(page, grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2, -400, 0)
    page.wait_for_function(f"({SHOWN}) === 0")
    rail = plot.locator(".slider-rail-touch-rect").bounding_box()
    page.touchscreen.tap(rail["x"] + 0.99 * rail["width"], rail["y"] + rail["height"] / 2)
    page.wait_for_function(f"({SHOWN}) === 3")
    page.close()


def test_a_figure_in_space_turns_and_leaves_a_way_past(phone, tmp_path):
    page, plot = opened(phone, tmp_path, figures.turn(clouds(3), alt="clouds"), SIDEWAYS)
    eye = "plot => Object.values(plot._fullLayout.scene._scene.getCamera().eye).join()"
    before, box = plot.evaluate(eye), plot.bounding_box()
    assert box["height"] <= 0.8 * SIDEWAYS["height"] + 1
    scene = plot.locator(".gl-container canvas").first.bounding_box()
    swipe(page, scene["x"] + scene["width"] / 2, scene["y"] + scene["height"] / 2, 60, 20)
    page.wait_for_function(
        f"before => ({eye})(document.querySelector('.plotly-lazy')) !== before", arg=before
    )
    page.close()
