"""The driver of figures: it finds nothing wrong with sound ones, and what is broken in mutants."""

import json
from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch
from drive_labs import ALWAYS, chooser, explorer
from drive_plotly import figure_of_plotly
from driving import Hand

from mcmcot_lite import figures

LAZY = Path(__file__).resolve().parents[2] / "_static" / "plotly-lazy.js"
LIBRARY = distribution("plotly").locate_file("plotly/package_data/plotly.min.js")
TALL = "<!doctype html><meta charset=utf-8><body style='margin:600px 8px'>"
QUICK = 3000  # milliseconds that a small figure of plotly's gets, also on a busy machine


def points(n, seed):
    rng = torch.Generator().manual_seed(seed)
    return (0.6 * torch.randn(n, 2, generator=rng)).clamp(-1.5, 1.5)


def cells():
    return figures.explore_cells(points(8, 1), points(8, 4), alt="cells").html


def chains():
    axis = torch.linspace(-3, 3, 31)
    density = -(axis[:, None].square() + axis.square()) / 2
    return figures.explore_chains(
        axis, density, alt="chains", start=(1.0, 0.5), K=10, most=40, chains=9
    ).html


def plane():
    shades = torch.arange(25.0).view(5, 5, 1, 1, 1).expand(5, 5, 1, 4, 4) / 25
    return figures.explore_plane(shades, alt="plane", limit=2.0, levels=256).html


def menus():
    shades = torch.arange(8.0).view(4, 2, 1, 1, 1).expand(4, 2, 1, 4, 4) / 8
    entries = {"level": list("abcd"), "see": list("xy")}
    return figures.choose(shades, entries, alt="menus", turn="level").html


PAGES = {"cells": cells, "chains": chains, "plane": plane, "menus": menus}


def worked(browser, tmp_path, kind, mutate=lambda html: html, patience=150):
    """The driver after its work on a page that holds one figure."""
    path = tmp_path / f"{kind}.html"
    path.write_text(TALL + mutate(PAGES[kind]()), encoding="utf-8")
    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.goto(path.as_uri())
    hand = Hand(page, patience)
    (chooser if kind == "menus" else explorer)(hand, page.locator("[data-lab], [data-choose]"))
    page.close()
    return hand


@pytest.mark.parametrize(
    ("kind", "done"), [("cells", 19), ("chains", 20), ("plane", 6), ("menus", 8)]
)
def test_nothing_is_wrong_with_a_sound_figure(browser, tmp_path, kind, done):
    hand = worked(browser, tmp_path, kind, patience=QUICK)
    assert hand.problems == []
    assert hand.done == done


MUTANTS = {
    "temperature ignored": (
        "chains", "Math.sqrt(heat.value())", "1", ["slider temperature at 0.8", "by ArrowLeft"],
    ),
    "drawing frozen": (
        "chains", "const found = run(K.value());", "const found = (root.once ??= run(K.value()));",
        ["slider steps K", "slider step s", "slider temperature", "button noise", "button play"],
    ),
    "ends frozen": ("chains", "ends.forEach((end, c) => {", "[].forEach((end, c) => {",
                    ["does not change [data-end]"]),
    "three arrows dead": (
        "chains", "ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }",
        "ArrowRight: [1, 0] }", ["key ArrowLeft", "key ArrowUp", "key ArrowDown"],
    ),
    "arrows the wrong way": ("chains", "ArrowUp: [0, 1]", "ArrowUp: [0, -1]",
                             ["key ArrowUp takes a point elsewhere"]),
    "pause dead": ("chains", "if (timer !== null) return stop();", "if (timer !== null) return;",
                   ["button play cannot be paused"]),
    "step size ignored": ("cells", "const length = size.value() /", "const length = 0.05 /",
                          ["slider step size at 0.8", "slider step size at 0.3"]),
    "areas stay": ("cells", "areas.forEach((area, j) =>", "if (t) areas.forEach((area, j) =>",
                   ["a drag of point 1 does not change [data-area]", "key ArrowUp"]),
    "lines stay": ("cells", "ways.forEach((way, i) => {", "[].forEach((way, i) => {",
                   ["nothing changes [data-way]"]),
    "reset keeps h": ("cells", "h = h.map(() => 0);", "",
                      ["reset does not lead to the first state"]),
    "one point moves": (
        "cells", "    lab.movable(svg, diamond", "    if (j === 7) lab.movable(svg, diamond",
        [f"a drag of point {k}" for k in range(1, 8)],
    ),
    "another point moves": ("cells", "place[j] = p;", "place[0] = p;",
                            ["a drag of point 2 takes it elsewhere"]),
    "picture stays": ("plane", "picture.style.backgroundPosition =", "const none =",
                      ["a drag of point 1", "key ArrowLeft", "a click on the plane"]),
    "click dead": ("plane", 'svg.addEventListener("click"', 'svg.addEventListener("none"',
                   ["a click on the plane does not", "a click on the plane takes it elsewhere"]),
    "first picture stays": ("menus", "picture.style.backgroundPosition =", "var none =",
                            ["entry 2 of the menu level", "entry 2 of the menu see", "the button"]),
    "entries dead": ("menus", "m.selectedIndex;", "Math.min(1, m.selectedIndex);",
                     ["entry 3 of the menu level does", "entry 4 of the menu level repeats"]),
    "back goes on": ("menus", 'turn(Number(b.dataset.turn))', "turn(1)",
                     ["do not lead to the first picture"]),
    "menus play on": ("menus", "playing(timer === null)", "playing(true)", ["cannot be paused"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_figure_is_found(browser, tmp_path, name):
    kind, old, new, found = MUTANTS[name]

    def mutate(html):
        assert html.count(old) == 1
        return html.replace(old, new)

    said = "\n".join(worked(browser, tmp_path, kind, mutate).problems)
    assert [words for words in found if words not in said] == [], said


def cloud_page(folder, solid=False, change=lambda figure: None, lazy=lambda script: script):
    """A page with one figure of plotly's, as the book holds it."""
    n = 3 if solid else 2
    clouds = {f"{k}": torch.full((4, n), k / 4) + torch.eye(4)[:, :n] for k in range(7)}
    figure = json.loads((figures.turn if solid else figures.play)(clouds, alt="dots").to_json())
    change(figure)
    (folder / "plotly-lazy.js").write_text(lazy(LAZY.read_text("utf-8")), "utf-8")
    library = folder / "plotly.min.js"
    if not library.exists():
        library.symlink_to(LIBRARY)
    page = folder / "plotly.html"
    page.write_text(
        f'{TALL}<div class="plotly-lazy" id="p" role="figure" aria-label="dots" '
        'style="height:540px">'
        f'</div><script type="application/json" data-for="p">{json.dumps(figure)}</script>'
        '<script src="plotly-lazy.js"></script>',
        "utf-8",
    )
    return page


def driven(browser, path, **context):
    """The driver after its work on a page of plotly's."""
    profile = browser.new_context(viewport={"width": 390, "height": 844}, **context)
    page = profile.new_page()
    page.goto(path.as_uri())
    figure = page.locator(".plotly-lazy")
    figure.scroll_into_view_if_needed()
    page.locator("[data-state=drawn]").wait_for(timeout=60_000)
    hand = Hand(page, QUICK)
    figure_of_plotly(hand, figure)
    profile.close()
    return hand


@pytest.mark.parametrize(("solid", "done"), [(False, 10), (True, 17)])
def test_nothing_is_wrong_with_a_sound_figure_of_plotly(browser, tmp_path, solid, done):
    hand = driven(browser, cloud_page(tmp_path, solid))
    assert hand.problems == []
    assert hand.done == done


def same_frames(figure):
    for frame in figure["frames"]:
        frame["data"] = figure["frames"][0]["data"]


def dead_pause(figure):
    buttons = figure["layout"]["updatemenus"][0]["buttons"]
    buttons[1] = {**buttons[1], "method": "skip"}


def dead_slider(figure):
    figure["layout"]["sliders"][0]["steps"] = [
        {**step, "method": "skip"} for step in figure["layout"]["sliders"][0]["steps"]
    ]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            same_frames,
            ["the frame 1 repeats", "slider at 0.6", "key End", "a space", "button play"],
        ),
        (dead_pause, ["the button play cannot be paused"]),
        (dead_slider, ["the slider at 0.6", "the slider at 0.3"]),
    ],
)
def test_a_broken_figure_of_plotly_is_found(browser, tmp_path, change, found):
    said = "\n".join(driven(browser, cloud_page(tmp_path, change=change)).problems)
    assert [words for words in found if words not in said] == [], said


@pytest.mark.parametrize("free", [False, True], ids=["as it is", "axes that zoom"])
def test_a_swipe_over_a_plot_scrolls_the_page(browser, tmp_path, free):
    def lazy(script):
        for line in ("update[`${key}.fixedrange`] = true;", "update.dragmode = false;"):
            assert line in script
            script = script.replace(line, "") if free else script
        return script

    said = "\n".join(driven(browser, cloud_page(tmp_path, lazy=lazy), has_touch=True).problems)
    assert ("a swipe does not scroll" in said) is free, said
    assert ("a swipe moves the axes" in said) is free, said


def test_every_kind_of_explorer_is_driven():
    scripts = (Path(figures.__file__).parent / "js").glob("*.js")
    assert {path.stem for path in scripts} - {"lab"} == set(ALWAYS)
