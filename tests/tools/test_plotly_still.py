"""plotly_still.py: a figure's last frame as a picture, and errors for what it cannot draw."""

import io
import json
from types import SimpleNamespace

import numpy as np
import offline_book
import plotly_still
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mcmcot_lite import figures
from mcmcot_lite.figures.theme import BLUE, PASTEL, RED

ALT = "what is seen"


def content(figure):
    return json.loads(figure.to_json())


def clouds(d, corner=3.0):
    """Points around the origin, which the last frame brings together at a corner."""
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(40, d, generator=rng)
    return {"0": start, "9": torch.full((40, d), corner) + 0.4 * start}


def play():
    return figures.play(clouds(2), alt=ALT, labels=torch.arange(40) % 2, names=["a", "b"])


def turn():
    return figures.turn(clouds(3), alt=ALT, prefix="alpha = ")


def surface():
    axis = torch.linspace(-2, 2, 21)
    values = torch.exp(-(axis[:, None] ** 2) - axis**2)
    paths = {k: torch.tensor([[0.0, 0.0, 1.0], [z, 0.0, 0.5]]) for k, z in (("0", 0), ("7", 1.5))}
    return figures.surface(axis, values, alt=ALT, paths=paths)


def cells():
    targets = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    bonuses = {"0": torch.tensor([0.0, 0.0, -99.0]), "5": torch.zeros(3)}  # one cell is empty
    return figures.cells(bonuses, targets + 0.1, targets, alt=ALT)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(float) / 255


def share(image, colour, within=0.12):
    """How much of a picture has about this colour."""
    return (np.abs(image - to_rgb(colour)).max(-1) < within).mean()


@pytest.mark.parametrize("make", [play, turn, surface, cells])
def test_every_kind_of_the_library_has_a_small_still_of_its_own_size(make):
    figure = content(make())
    before = json.dumps(figure)
    data = plotly_still.png(figure)
    assert pixels(data).shape[:2] == (figure["layout"]["height"], plotly_still.WIDTH)
    assert len(data) < 40_000
    assert data == plotly_still.png(figure)
    assert json.dumps(figure) == before


def test_the_last_frame_is_drawn_under_its_name():
    figure = content(turn())
    traces, title = plotly_still.last_frame(figure)
    assert title == "alpha = 9"
    assert traces[0]["x"] == figure["frames"][-1]["data"][0]["x"]
    traces, title = plotly_still.last_frame(content(surface()))
    assert [t["type"] for t in traces] == ["surface", "scatter3d"]  # a frame of one trace of two
    assert traces[1]["x"] == [0.0, 1.5]
    assert plotly_still.last_frame({"data": [{"x": [1]}]}) == ([{"x": [1]}], "")


def test_points_have_their_places_and_colours():
    image = pixels(plotly_still.png(content(play())))
    for colour in (BLUE, RED):
        seen = 0.7 * np.array(to_rgb(colour)) + 0.3  # on white, as opaque as the library makes them
        found = np.argwhere(np.abs(image - seen).max(-1) < 0.12)[:, ::-1]
        assert len(found) > 20
        x, y = np.median(found, axis=0) / image.shape[1::-1]
        assert x > 0.6  # the corner of the last frame, not the middle of the first
        assert y < 0.4


@pytest.mark.parametrize("make", [play, turn, surface, cells])
def test_a_phone_can_read_the_text_of_a_still(make, monkeypatch):
    pages = []
    monkeypatch.setattr(
        plotly_still, "Figure", lambda **look: pages.append(Figure(**look)) or pages[0]
    )
    plotly_still.png(content(make()))
    for text in pages[0].findobj(Text):
        if text.get_text() and text.get_visible():
            assert text.get_fontsize() / plotly_still.POINT * 350 / plotly_still.WIDTH >= 9
    (ax,) = pages[0].axes
    for axis in (ax.xaxis, ax.yaxis):
        assert 3 <= len(axis.get_majorticklocs()) <= 8


def test_cells_are_filled_and_surfaces_coloured():
    image = pixels(plotly_still.png(content(cells())))
    assert all(share(image, colour) > 0.05 for colour in PASTEL[:3])
    assert share(pixels(plotly_still.png(content(surface()))), "#86b6d9") > 0.02


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": [{"type": "bar", "x": [1], "y": [2]}]}, "trace type 'bar'"),
        (
            {"data": [{"type": "scatter3d", "x": [1], "y": [2], "z": [0]}, {"type": "cone"}]},
            "'cone'",
        ),
        ({"data": [{"x": [1], "y": [2], "mode": "markers+lasers"}]}, "mode 'lasers'"),
        ({"data": [{"x": [1], "y": [2], "fill": "tozeroy", "fillcolor": "red"}]}, "fill 'tozeroy'"),
        (
            {"data": [{"x": [1], "y": [2], "mode": "markers", "marker": {"symbol": "star"}}]},
            "'star'",
        ),
        ({"data": [], "layout": {"shapes": [{"type": "rect"}]}}, "shape 'rect'"),
    ],
)
def test_what_is_not_known_is_an_error_that_names_it(change, said):
    with pytest.raises(plotly_still.StillError, match=said):
        plotly_still.png(change)


def test_the_book_holds_the_still_with_alt_text_and_the_figure_beside_it():
    output = SimpleNamespace(
        mime_type=offline_book.PLOTLY_MIME,
        content=content(play()),
        line=1,
        cell_index=2,
        output_index=0,
    )
    (node,) = offline_book.PlotlyRenderer.handle_mime(None, output, False)
    page = node.astext()
    assert f'alt="{ALT}"></div><noscript>' in page
    assert 'src="data:image/png;base64,' in page
    assert 'data-for="plotly-2-0"' in page
    assert offline_book.is_plotly(node)
