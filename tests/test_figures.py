"""Figures: frames, alternative text, short numbers are in them; bad input is named."""

import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("plotly")

from mcmcot_lite import figures  # noqa: E402  (after the back end is chosen)
from mcmcot_lite.figures.polygons import laguerre_polygons  # noqa: E402
from mcmcot_lite.transport import laguerre_cells  # noqa: E402


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize(("make", "d"), [(figures.play, 2), (figures.turn, 3)])
def test_clouds_have_a_frame_each_and_every_point_in_its_class(make, d, rng):
    clouds = {str(k): torch.randn(30, d, generator=rng) for k in range(4)}
    labels = torch.arange(30) % 3
    fig = make(clouds, alt="three classes", labels=labels, names=["a", "b", "c"], prefix="k = ")
    assert [f.name for f in fig.frames] == list(clouds)
    assert fig.layout.meta["alt"] == "three classes"
    assert [t.name for t in fig.data] == ["a", "b", "c"]
    assert len(fig.layout.sliders[0].steps) == 4
    for frame, points in zip(fig.frames, clouds.values(), strict=True):
        for k, trace in enumerate(frame.data):
            x = points[labels == k, 0].clamp(-4, 4)
            assert torch.allclose(torch.tensor(trace.x), x, atol=0.00501)


@pytest.mark.parametrize(("make", "d"), [(figures.play, 2), (figures.turn, 3)])
def test_one_cloud_has_no_slider(make, d, rng):
    fig = make({"only": torch.randn(5, d, generator=rng)}, alt="one cloud")
    assert not fig.frames
    assert not fig.layout.sliders


def test_a_page_of_frames_stays_light(rng):
    clouds = {str(k): torch.randn(1000, 3, generator=rng) for k in range(8)}
    assert len(figures.turn(clouds, alt="eight frames").to_json()) < 500_000


@pytest.mark.parametrize("make", [figures.play, figures.turn])
def test_bad_clouds_are_named(make):
    with pytest.raises(ValueError, match="clouds"):
        make({}, alt="none")
    with pytest.raises(ValueError, match=r"clouds\['a'\]"):
        make({"a": torch.zeros(3, 7)}, alt="wrong d")
    with pytest.raises(ValueError, match="finite"):
        make({"a": torch.full((3, 2 if make is figures.play else 3), torch.nan)}, alt="nan")


BAD_CLOUDS = {
    "sizes": ({"clouds": {"a": 6, "b": 5}}, ValueError, r"clouds\['b'\] must have as many points"),
    "not a mapping": ({"clouds": torch.zeros(6, 2)}, TypeError, "clouds must be a mapping"),
    "length": ({"labels": torch.zeros(5).long()}, ValueError, r"labels must have shape \(6,\)"),
    "float": ({"labels": torch.zeros(6)}, TypeError, "labels must have an integer or bool dtype"),
    "list": ({"labels": [0] * 6}, TypeError, "labels must be a torch.Tensor"),
    "few names": ({"names": ["a"]}, ValueError, "names must hold one name for each of the 2"),
    "many names": ({"names": ["a", "b", "c"]}, ValueError, "names must hold one name"),
    "letters": ({"names": "ab"}, TypeError, "names must be a sequence of strings"),
    "limit": ({"limit": 0}, ValueError, "limit must be greater than 0"),
    "height": ({"height": 0}, ValueError, "height must be at least 10"),
    "empty alt": ({"alt": " "}, ValueError, "alt must not be empty"),
    "no alt": ({"alt": None}, TypeError, "alt must be a string"),
}


@pytest.mark.parametrize(("change", "kind", "message"), BAD_CLOUDS.values(), ids=BAD_CLOUDS)
@pytest.mark.parametrize(("make", "d"), [(figures.play, 2), (figures.turn, 3)])
def test_bad_arguments_of_clouds_are_named(make, d, change, kind, message):
    good = {"clouds": {"a": 6}, "labels": torch.arange(6) % 2, "names": ["a", "b"], "alt": "two"}
    given = good | change
    if isinstance(given["clouds"], dict):
        given["clouds"] = {k: torch.zeros(n, d) for k, n in given["clouds"].items()}
    with pytest.raises(kind, match=message):
        make(given.pop("clouds"), **given)


@pytest.mark.parametrize("make", [figures.play, figures.turn, figures.scatter])
def test_ten_classes_have_ten_colours_and_eleven_are_refused(make):
    def draw(count):
        z = torch.zeros(count, 3 if make is figures.turn else 2)
        if make is figures.scatter:
            _, ax = plt.subplots()
            make(ax, z, torch.arange(count))
            return [tuple(c.get_facecolor()[0]) for c in ax.collections]
        fig = make({"a": z}, alt="classes", labels=torch.arange(count))
        return [t.marker.color for t in fig.data]

    assert len(set(draw(10))) == 10
    with pytest.raises(ValueError, match="labels must hold at most 10 classes"):
        draw(11)


def test_bool_labels_make_two_classes():
    fig = figures.play({"a": torch.zeros(4, 2)}, alt="two", labels=torch.arange(4) > 2)
    assert [len(t.x) for t in fig.data] == [3, 1]


def test_surface_moves_its_dots_and_keeps_its_ground(rng):
    axis = torch.linspace(-1, 1, 9)
    values = axis[:, None] + 2 * axis
    paths = {"0": torch.zeros(4, 3), "5": torch.ones(4, 3)}
    fig = figures.surface(axis, values, alt="a plane", paths=paths, prefix="step ")
    assert torch.allclose(torch.tensor(fig.data[0].z, dtype=torch.float32), values, atol=1e-4)
    assert all(tuple(f.traces) == (1,) for f in fig.frames)
    with pytest.raises(ValueError, match="values"):
        figures.surface(axis, values[:3], alt="wrong shape")
    with pytest.raises(ValueError, match=r"paths\['0'\] must have shape \(any, 3\)"):
        figures.surface(axis, values, alt="flat", paths={"0": torch.zeros(4, 2)})
    with pytest.raises(TypeError, match="paths must be a mapping"):
        figures.surface(axis, values, alt="no names", paths=torch.zeros(4, 3))
    with pytest.raises(ValueError, match="alt"):
        figures.surface(axis, values, alt="")
    with pytest.raises(ValueError, match="height"):
        figures.surface(axis, values, alt="low", height=0)


def area(polygon):
    x, y = torch.tensor(polygon, dtype=torch.float64).reshape(-1, 2).T
    return float((x * y.roll(-1) - y * x.roll(-1)).sum()) / 2


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_polygons_tile_the_square_and_hold_the_points_that_choose_them(spread, rng):
    targets = torch.randn(9, 2, generator=rng, dtype=torch.float64)
    h = spread * torch.randn(9, generator=rng, dtype=torch.float64)
    polygons = laguerre_polygons(targets, h, 2.0)
    assert sum(map(area, polygons)) == pytest.approx(16.0, rel=1e-12)
    owners = [j for j, p in enumerate(polygons) if area(p) > 1e-9]  # h = 0: some are a point
    middles = [torch.tensor(polygons[j], dtype=torch.float64).mean(0) for j in owners]
    assert laguerre_cells(torch.stack(middles), targets, h).tolist() == owners
    plane = 4 * torch.rand(4000, 2, generator=rng, dtype=torch.float64) - 2
    share = torch.bincount(laguerre_cells(plane, targets, h), minlength=9) / 4000
    exact = torch.tensor([area(p) / 16 for p in polygons])
    noise = (exact * (1 - exact) / 4000).sqrt()
    assert ((share - exact).abs() <= 4.5 * noise + 1e-9).all()  # 9 shares: false alarm 6e-5


def test_one_target_owns_the_square_and_a_low_bonus_owns_nothing():
    square = laguerre_polygons(torch.ones(1, 2), torch.zeros(1), 3.0)
    assert area(square[0]) == 36.0
    same = torch.zeros(2, 2)
    assert laguerre_polygons(same, torch.tensor([0.0, -1.0]), 1.0)[1] == []


def test_cells_draw_each_source_with_its_target_and_count():
    sources = torch.tensor([[1.0, 0.0], [0.5, 0.5], [-1.0, 0.0]])
    targets = torch.tensor([[0.5, 0.0], [-0.5, 0.0]])
    bonuses = {"0": torch.zeros(2), "1": torch.tensor([0.0, 9.0])}
    fig = figures.cells(bonuses, sources, targets, alt="cells", prefix="step ")
    assert [f.name for f in fig.frames] == ["0", "1"]
    assert fig.layout.meta["alt"] == "cells"
    *drawn, diamonds, dots = fig.frames[0].data
    assert len(drawn) == len(targets) + len(sources)
    assert [trace.fillcolor for trace in drawn[:2]] == list(diamonds.marker.color)
    assert [(w.x, w.y) for w in drawn[2:]] == [
        ((1.0, 0.5), (0.0, 0.0)),
        ((0.5, 0.5), (0.5, 0.0)),
        ((-1.0, -0.5), (0.0, 0.0)),
    ]
    assert list(diamonds.text) == ["2", "1"]
    assert list(diamonds.marker.line.color) == [figures.RED, figures.BLUE]
    assert list(dots.hovertext)[2] == "source 3 takes target 2"
    assert list(fig.frames[1].data[-2].text) == ["0", "3"]
    assert fig.frames[1].data[0].x == (None,)  # an empty cell


def test_one_picture_of_cells_has_no_slider_and_many_stay_light(rng):
    x, y = torch.randn(2, 12, 2, generator=rng)
    assert not figures.cells({"only": torch.zeros(12)}, x, y, alt="one").layout.sliders
    bonuses = {str(k): torch.randn(12, generator=rng) for k in range(14)}
    assert len(figures.cells(bonuses, x, y, alt="fourteen").to_json()) < 200_000


BAD_CELLS = {
    "no frame": ({"bonuses": {}}, ValueError, "bonuses must hold at least one frame"),
    "no mapping": ({"bonuses": torch.zeros(2)}, TypeError, "bonuses must be a mapping"),
    "no tensor": ({"bonuses": {"0": [0, 0]}}, TypeError, r"bonuses\['0'\] must be a torch.Tensor"),
    "length": ({"bonuses": {"0": torch.zeros(3)}}, ValueError, r"\['0'\] must have shape \(2,\)"),
    "integers": ({"bonuses": {"0": torch.zeros(2).long()}}, TypeError, "floating-point dtype"),
    "nan": ({"bonuses": {"0": torch.full((2,), torch.nan)}}, ValueError, "finite"),
    "sources": ({"sources": torch.zeros(3, 3)}, ValueError, "sources must have shape"),
    "targets": ({"targets": torch.zeros(2)}, ValueError, "targets must have shape"),
    "alt": ({"alt": ""}, ValueError, "alt must not be empty"),
    "limit": ({"limit": 0.0}, ValueError, "limit must be greater than 0"),
    "prefix": ({"prefix": 3}, TypeError, "prefix must be a string"),
    "height": ({"height": -1}, ValueError, "height must be at least"),
}


@pytest.mark.parametrize(("change", "kind", "message"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_bad_cells_are_named(change, kind, message):
    good = {
        "bonuses": {"0": torch.zeros(2)},
        "sources": torch.zeros(3, 2),
        "targets": torch.zeros(2, 2),
        "alt": "cells",
    }
    assert figures.cells(**good)
    with pytest.raises(kind, match=message):
        figures.cells(**good | change)


def test_image_grid_places_and_clips():
    x = torch.linspace(-1, 2, 5 * 9).reshape(5, 1, 3, 3)
    fig = figures.image_grid(x, columns=2, titles=["a", "b", "c"])
    assert len(fig.axes) == 6
    shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert len(shown) == 5
    assert all(a.min() >= 0 and a.max() <= 1 for a in shown)
    colour = figures.image_grid(torch.rand(2, 3, 4, 4), columns=2)
    assert colour.axes[0].images[0].get_array().shape == (4, 4, 3)
    headed = figures.image_grid(x, columns=2, heads=["left", ""])
    assert [ax.get_title() for ax in headed.axes] == ["left", "", "", "", "", ""]
    with pytest.raises(ValueError, match="x must have 4 axes"):
        figures.image_grid(x[0])
    with pytest.raises(ValueError, match="columns"):
        figures.image_grid(x, columns=0)
    before = plt.get_fignums()
    with pytest.raises(ValueError, match="titles must hold one title for each of the 3 rows"):
        figures.image_grid(x, columns=2, titles=["a"])
    with pytest.raises(ValueError, match="x must have 1 or 3 channels"):
        figures.image_grid(torch.rand(2, 2, 4, 4))
    with pytest.raises(ValueError, match="width"):
        figures.image_grid(x, columns=2, titles=["a", "b", "c"], width=0.5)
    with pytest.raises(ValueError, match="heads must hold one head for each of the 2 columns"):
        figures.image_grid(x, columns=2, heads=["a"])
    assert plt.get_fignums() == before  # a refused call leaves no empty figure behind


def test_scatter_draws_every_point(rng):
    figures.style()
    _, ax = plt.subplots()
    figures.scatter(ax, torch.randn(20, 2, generator=rng), torch.arange(20) % 2, title="t")
    assert sum(len(c.get_offsets()) for c in ax.collections) == 20
    assert len(ax.patches) == 3  # the prior's circles


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"z": torch.zeros(4, 3)}, ValueError, r"z must have shape \(any, 2\)"),
        ({"labels": torch.zeros(3).long()}, ValueError, r"labels must have shape \(4,\)"),
        ({"labels": torch.zeros(4)}, TypeError, "labels must have an integer or bool dtype"),
        ({"limit": 0}, ValueError, "limit must be greater than 0"),
        ({"limit": -1.0}, ValueError, "limit must be greater than 0"),
    ],
)
def test_bad_arguments_of_scatter_are_named_and_draw_nothing(change, kind, message):
    _, ax = plt.subplots()
    with pytest.raises(kind, match=message):
        figures.scatter(ax, **{"z": torch.zeros(4, 2)} | change)
    assert not ax.collections
    assert not ax.patches


def test_colours_differ():
    assert len(set(figures.COLOURS)) == len(figures.COLOURS)


# ---- clouds


def test_clouds_are_scatters_side_by_side(rng):
    z = torch.randn(20, 3, generator=rng)
    fig = figures.clouds({"a": z, "prior": z[:5]}, torch.arange(20) % 2, plain=["prior"], limit=3)
    left, right = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["a", "prior"]
    assert [len(c.get_offsets()) for c in left.collections] == [10, 10]
    assert [len(c.get_offsets()) for c in right.collections] == [5]
    assert left.get_xlim() == (-3, 3)
    plt.close(fig)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"panels": None}, TypeError, "panels must be a dict"),
        ({"panels": {}}, TypeError, "panels must be a dict"),
        ({"panels": {"a": [1]}}, TypeError, "panels"),
        ({"panels": {"a": torch.zeros(4, 1)}}, ValueError, "panels must hold latents"),
        ({"panels": {3: torch.zeros(4, 2)}}, TypeError, "panels"),
        ({"labels": torch.zeros(3).long()}, ValueError, "labels"),
        ({"plain": "a"}, TypeError, "plain"),
        ({"plain": ["b"]}, ValueError, "plain must name panels"),
        ({"limit": 0}, ValueError, "limit"),
        ({"side": 0.1}, ValueError, "side"),
    ],
)
def test_bad_arguments_of_clouds_draw_nothing(change, kind, message):
    before = plt.get_fignums()
    with pytest.raises(kind, match=f"^{message}"):
        figures.clouds(**{"panels": {"a": torch.zeros(4, 2)}} | change)
    assert plt.get_fignums() == before
