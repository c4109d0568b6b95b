"""Explorers: what the page computes is what the library computes; keyboard, mouse, bad input."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch
from helpers import F64
from scipy import stats

from mcmcot_lite import exact_map
from mcmcot_lite.figures import explore_cells, explore_chains, explore_plane, lab_runs
from mcmcot_lite.figures.polygons import laguerre_polygons
from mcmcot_lite.transport import dual_value, laguerre_cells


def cloud(n, seed, scale=0.6):
    rng = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(n, 2, generator=rng, dtype=F64)).clamp(-1.8, 1.8).round(decimals=4)


X, Y = cloud(9, 1), cloud(9, 2)
AXIS = torch.linspace(-4, 4, 81, dtype=F64)
Z2, Z1 = torch.meshgrid(AXIS, AXIS, indexing="ij")
NORMAL = -(Z1.square() + Z2.square()) / 2


def hills(z1, z2):
    """A posterior with four modes."""
    return -((1.6 - z1**2) ** 2 + (1.2 - z2**2) ** 2) / 0.5 - (z1**2 + z2**2) / 2


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a figure as a page; whatever its script throws fails the test."""
    pages, errors = [], []

    def show(figure, width=700):
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(f"<!doctype html><meta charset=utf-8>{figure.html}", encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        pages.append(page)
        return page, page.locator("[data-lab]")

    yield show
    for page in pages:
        page.close()
    assert errors == []


def state(lab, key):
    return lab.get_attribute(f"data-{key}")


def shoelace(points):
    pairs = zip(points, points[1:] + points[:1], strict=True)
    return abs(sum(a * d - b * c for (a, b), (c, d) in pairs)) / 2


def areas(html):
    rings = re.findall(r'data-area(?:="")? points="([^"]*)"', html)
    return [shoelace([tuple(map(float, p.split(","))) for p in ring.split()]) for ring in rings]


def test_the_still_shows_the_cells_of_no_bonus():
    figure = explore_cells(X, Y, alt="cells", limit=2.0)
    count = torch.bincount(laguerre_cells(X, Y, torch.zeros(9, dtype=F64)), minlength=9)
    shown = [int(v) for v in re.findall(r"data-count[^>]*>(\d+)</text>", figure.html)]
    assert shown == count.tolist()
    pixels = (480 / 4) ** 2
    rings = laguerre_polygons(Y, torch.zeros(9), 2.0)
    exact = [shoelace(ring) * pixels if ring else 0.0 for ring in rings]
    assert areas(figure.html) == pytest.approx(exact, abs=0.1 * 480)
    assert sum(exact) == pytest.approx(480**2)
    assert figure.alt == "cells"
    assert repr(figure) == "Explorer('cells')"


def test_descent_in_the_page_is_descent_on_e(opened):
    page, lab = opened(explore_cells(X, Y, alt="cells"))
    h, step = torch.zeros(9, dtype=F64), page.locator("[data-step]")
    for t in range(40):
        own = laguerre_cells(X, Y, h)
        assert state(lab, "own") == " ".join(map(str, own.tolist()))
        assert float(state(lab, "bound")) == pytest.approx(dual_value(X, Y, h), abs=2e-6)
        h = h - 0.05 / (1 + t / 60) * (torch.bincount(own, minlength=9) - 1)
        step.click()
    assert state(lab, "steps") == "40"


def test_it_ends_at_the_exact_map_also_after_a_drag(opened):
    page, lab = opened(explore_cells(X, Y, alt="cells"))
    target, targets = page.locator("[data-target]").nth(4), Y.clone()
    box, picture = target.bounding_box(), page.locator("svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(picture["x"] + 0.75 * picture["width"], picture["y"] + 0.5 * picture["height"])
    page.mouse.up()
    target.press("ArrowUp")
    x, y = map(
        float, re.findall(r"at (\S+), (\S+),", said := target.get_attribute("aria-label"))[0]
    )
    assert (x, y) == pytest.approx((1.0, 0.05), abs=0.02), said
    page.locator("[data-play]").click()
    page.wait_for_function("document.querySelector('[data-lab]').dataset.right === '9'")
    page.wait_for_function("document.querySelector('[data-play]').textContent === 'Play'")
    targets[4] = torch.tensor((x, y))
    best = exact_map(X, targets)
    assert state(lab, "own") == " ".join(map(str, best.index.tolist()))
    assert float(state(lab, "cost")) == pytest.approx(best.primal, abs=0.02)  # pixels of the drag
    assert float(state(lab, "bound")) == pytest.approx(float(state(lab, "cost")), abs=1e-5)
    assert "no map can cost less" in page.locator("[data-said]").inner_text()
    page.locator("[data-reset]").click()
    first = laguerre_cells(X, Y, torch.zeros(9, dtype=F64))
    assert state(lab, "own") == " ".join(map(str, first.tolist()))
    assert state(lab, "steps") == "0"


def test_the_pages_gradient_is_that_of_the_density(opened):
    axis = torch.linspace(-2.4, 2.4, 61, dtype=F64)
    z2, z1 = torch.meshgrid(axis, axis, indexing="ij")
    for at in ((1.0, 1.0), (-1.23, 0.47), (0.31, -1.9)):
        figure = explore_chains(axis, hills(z1, z2), alt="chains", start=at, K=3)
        _, lab = opened(figure)
        z = torch.tensor(at, dtype=F64, requires_grad=True)
        (want,) = torch.autograd.grad(hills(*z), z)
        # Catmull and Rom's slope is a central difference at the nodes: error of order h^2 f'''.
        assert json.loads(state(lab, "slope")) == pytest.approx(want.tolist(), abs=0.12)


def test_without_noise_a_chain_climbs(opened):
    """Temperature 0 on N(0, I): each step multiplies by 1 - s^2/2, exactly."""
    page, lab = opened(explore_chains(AXIS, NORMAL, alt="c", start=(2.0, -1.0), s=0.5, K=12))
    page.locator("input[data-name=temperature]").fill("0")
    shrink = (1 - 0.5**2 / 2) ** 12
    for end in json.loads(state(lab, "ends")):
        assert end == pytest.approx([2 * shrink, -shrink], rel=1e-2)


@pytest.mark.parametrize(("s", "K", "heat"), [(0.5, 12, 1.0), (1.0, 60, 1.0), (0.5, 12, 2.5)])
def test_chains_of_a_normal_density_have_the_exact_law_of_k_steps(s, K, heat, opened):
    figure = explore_chains(AXIS, NORMAL, alt="c", start=(1.0, -0.5), s=s, K=K, chains=200)
    page, lab = opened(figure)
    page.locator("input[data-name=temperature]").fill(str(heat))
    ends = torch.tensor(json.loads(state(lab, "ends")), dtype=F64)
    assert ends.shape == (200, 2)
    h = s**2 / 2
    mean = torch.tensor((1.0, -0.5), dtype=F64) * (1 - h) ** K
    var = heat * s**2 * sum((1 - h) ** (2 * k) for k in range(K))
    slack = stats.norm.isf(1e-4)
    assert ((ends.mean(0) - mean).abs() < slack * math.sqrt(var / 200)).all()
    assert ((ends.var(0) / var - 1).abs() < slack * math.sqrt(2 / 199)).all()


DRAWN = """svg => [...svg.querySelectorAll("polyline, [data-end]")].map((part) =>
  ["points", "cx", "cy"].map((name) => part.getAttribute(name) ?? "").join(" "))"""


def numbers(drawn):
    return [float(v) for v in re.findall(r"-?[\d.]+", " ".join(drawn))]


@pytest.mark.parametrize(
    ("s", "K", "start", "density"),
    [
        (0.2, 20, (1.0, 1.0), hills(Z1, Z2)),
        (0.53, 7, (-2.0, 0.3), hills(Z1, Z2) / 8),
        (1.1, 9, (3.9, -4.0), NORMAL),  # at the edge, where the slope goes on straight
    ],
)
def test_the_still_of_chains_is_the_scripts_first_run(
    s, K, start, density, opened, browser, tmp_path
):
    figure = explore_chains(AXIS, density, alt="c", start=start, s=s, K=K, chains=20)
    path = tmp_path / "still.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{figure.html}", "utf-8")
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(path.as_uri())
    page, _ = opened(figure)
    parts = [p.locator("svg").evaluate(DRAWN) for p in (still, page)]
    assert len(parts[0]) == len(parts[1]) == 8 + 20
    assert len(set(parts[0])) == 8 + 20
    assert numbers(parts[0]) == pytest.approx(numbers(parts[1]), abs=0.11)  # a rounding of pixels
    said = [p.locator("[data-said]").inner_text() for p in (still, page)]
    assert said[0] == said[1]
    names = [p.locator("[data-start]").get_attribute("aria-label") for p in (still, page)]
    assert names[0] == names[1]
    context.close()


def test_the_still_of_chains_has_no_negative_zero_and_tells_a_step_too_long():
    html = explore_chains(AXIS, NORMAL - 1e-3 * Z1, alt="c", start=(1.0, 0.0)).html
    (said,) = re.findall(r"<p data-said[^>]*>([^<]*)</p>", html)
    assert "Posterior: mean (0.00, 0.00), deviation (1.00, 1.00)." in said
    assert "-" not in said
    far = explore_chains(AXIS, 16 * NORMAL, alt="c", start=(1.0, 0.0), s=0.6, K=900, most=1000)
    assert "run away" in far.html
    assert "nan" not in far.html
    assert explore_chains(AXIS, NORMAL, alt="c", start=(1.0, 0.0), K=0).html


def test_draws_of_the_still_are_normal():
    x = lab_runs.normals(1, 20_000)
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-3
    assert (x[:5] == lab_runs.normals(1, 5)).all()


def test_chains_controls(opened):
    page, lab = opened(explore_chains(AXIS, NORMAL, alt="c", start=(1.0, 0.0), s=0.2, K=5, most=30))
    first, said = state(lab, "ends"), page.locator("[data-said]")
    assert "Posterior: mean (0.00, 0.00), deviation (1.00, 1.00)" in said.inner_text()
    page.locator("[data-noise]").click()
    assert state(lab, "ends") != first
    page.locator("[data-start]").press("ArrowLeft")
    assert "0.90, 0.00" in page.locator("[data-start]").get_attribute("aria-label")
    page.locator("input[data-name='step s']").fill("0.2")  # 10^0.2 = 1.6: stable; the next is not
    assert "run away" not in said.inner_text()
    page.locator("[data-play]").click()
    page.wait_for_function("document.querySelector('output').textContent === '30'")
    page.wait_for_function("document.querySelector('[data-play]').textContent === 'Play'")


def test_a_step_beyond_the_limit_is_told(opened):
    """N(0, 1/16): stable for s^2/2 * 16 < 2, s < 0.5. However long it goes on, no error."""
    figure = explore_chains(AXIS, 16 * NORMAL, alt="c", start=(1.0, 0.0), s=0.6, K=100, most=1000)
    page, _ = opened(figure)
    for K in ("100", "1000"):
        page.locator("input[data-name='steps K']").fill(K)
        assert "run away" in page.locator("[data-said]").inner_text()


def test_the_plane_shows_the_picture_of_the_grid(opened):
    m, limit = 5, 2.0
    images = torch.arange(m * m, dtype=F64).view(m, m, 1, 1, 1).expand(m, m, 1, 4, 4) / (m * m)
    page, lab = opened(explore_plane(images, alt="plane", limit=limit, latents=X))
    picture, point = page.locator("[data-picture]"), page.locator("[data-point]")
    assert state(lab, "at") == "2 2"
    box = page.locator("svg").bounding_box()
    page.mouse.click(box["x"] + 0.99 * box["width"], box["y"] + 0.01 * box["height"])
    assert state(lab, "at") == "4 4"  # z1 = z2 = 2
    style = "getComputedStyle(document.querySelector('[data-picture]')).backgroundPosition"
    assert page.evaluate(style) == "100% 100%"
    for _ in range(40):
        point.press("Shift+ArrowLeft")
    assert state(lab, "at") == "0 4"
    assert "z = (\N{MINUS SIGN}2.00, 2.00)" in picture.get_attribute("aria-label")


def test_without_javascript_the_still_remains(browser, tmp_path):
    path = tmp_path / "still.html"
    path.write_text(f"<meta charset=utf-8>{explore_cells(X, Y, alt='cells').html}", "utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("polygon").count() == 9
    assert not page.locator("[data-controls]").is_visible()
    assert "needs JavaScript" in page.locator("body").inner_text().replace("need ", "needs ")
    context.close()


GRID = torch.zeros(3, 3, 1, 2, 2)
BAD = {
    "three columns": (lambda: explore_cells(cloud(3, 1).repeat(1, 2), Y, alt="a"), "sources must"),
    "unequal": (lambda: explore_cells(X, Y[:3], alt="a"), "targets must hold as many points"),
    "many": (lambda: explore_cells(cloud(61, 1), cloud(61, 2), alt="a"), "sources must hold 1 to"),
    "outside": (lambda: explore_cells(X, Y, alt="a", limit=0.5), "sources must lie between"),
    "alt": (lambda: explore_cells(X, Y, alt=" "), "alt must not be empty"),
    "uneven": (
        lambda: explore_chains(AXIS.exp(), NORMAL, alt="a", start=(0, 0)),
        "axis must run from -limit to limit",
    ),
    "short": (
        lambda: explore_chains(AXIS[:3], NORMAL[:3, :3], alt="a", start=(0, 0)),
        "axis must hold 8 to",
    ),
    "grid": (lambda: explore_chains(AXIS, NORMAL[1:], alt="a", start=(0, 0)), "log_density must"),
    "nan": (
        lambda: explore_chains(AXIS, NORMAL / 0 * 0, alt="a", start=(0, 0)),
        "log_density must be finite",
    ),
    "start": (lambda: explore_chains(AXIS, NORMAL, alt="a", start=1.0), "start must be two"),
    "far": (lambda: explore_chains(AXIS, NORMAL, alt="a", start=(9.0, 0)), "start must lie"),
    "K": (lambda: explore_chains(AXIS, NORMAL, alt="a", start=(0, 0), K=300), "K must be at most"),
    "s": (lambda: explore_chains(AXIS, NORMAL, alt="a", start=(0, 0), s=2.0), "s must lie in"),
    "oblong": (lambda: explore_plane(GRID[:2], alt="a"), "images must have shape"),
    "colours": (lambda: explore_plane(GRID.expand(3, 3, 2, 2, 2), alt="a"), "images must have"),
    "flat": (lambda: explore_plane(GRID[0], alt="a"), "images must have 5 axes"),
    "names": (
        lambda: explore_plane(GRID, alt="a", latents=X, labels=torch.arange(9) % 2, names=["x"]),
        "names must hold one name",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, says = BAD[case]
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        call()
