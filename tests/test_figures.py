"""Figures: frames, alternative text, short numbers are in them; bad input is named."""

import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("plotly")

from mcmcot_lite import figures  # noqa: E402  (after the back end is chosen)


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


def test_surface_moves_its_dots_and_keeps_its_ground(rng):
    axis = torch.linspace(-1, 1, 9)
    values = axis[:, None] + 2 * axis
    paths = {"0": torch.zeros(4, 3), "5": torch.ones(4, 3)}
    fig = figures.surface(axis, values, alt="a plane", paths=paths, prefix="step ")
    assert torch.allclose(torch.tensor(fig.data[0].z, dtype=torch.float32), values, atol=1e-4)
    assert all(tuple(f.traces) == (1,) for f in fig.frames)
    with pytest.raises(ValueError, match="values"):
        figures.surface(axis, values[:3], alt="wrong shape")


def test_cells_say_how_many_sources_each_target_has():
    axis = torch.linspace(-1, 1, 6)
    grid = torch.zeros(6, 6, dtype=torch.long)
    sources, targets = torch.zeros(3, 2), torch.zeros(2, 2)
    frames = {"0": (grid, torch.tensor([0, 0, 1])), "1": (grid, torch.tensor([1, 1, 1]))}
    fig = figures.cells(frames, axis, sources, targets, alt="cells")
    assert list(fig.frames[0].data[2].text) == ["1: 2", "2: 1"]
    assert list(fig.frames[1].data[2].text) == ["1: 0", "2: 3"]


def test_image_grid_places_and_clips():
    x = torch.linspace(-1, 2, 5 * 9).reshape(5, 1, 3, 3)
    fig = figures.image_grid(x, columns=2, titles=["a", "b", "c"])
    assert len(fig.axes) == 6
    shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert len(shown) == 5
    assert all(a.min() >= 0 and a.max() <= 1 for a in shown)
    colour = figures.image_grid(torch.rand(2, 3, 4, 4), columns=2)
    assert colour.axes[0].images[0].get_array().shape == (4, 4, 3)
    with pytest.raises(ValueError, match="x must have 4 axes"):
        figures.image_grid(x[0])
    with pytest.raises(ValueError, match="columns"):
        figures.image_grid(x, columns=0)


def test_scatter_draws_every_point(rng):
    figures.style()
    _, ax = plt.subplots()
    figures.scatter(ax, torch.randn(20, 2, generator=rng), torch.arange(20) % 2, title="t")
    assert sum(len(c.get_offsets()) for c in ax.collections) == 20
    assert len(ax.patches) == 3  # the prior's circles


def test_colours_differ():
    assert len(set(figures.COLOURS)) == len(figures.COLOURS)
