"""What figures and widgets refuse: axes and texts that are none, a g that cannot draw."""

import matplotlib as mpl
import pytest
import torch
from helpers import seeded
from torch import nn

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("plotly")
pytest.importorskip("ipywidgets")

from mcmcot_lite import figures, widgets  # noqa: E402  (after the back end is chosen)

Z = torch.randn(5, 2, generator=seeded())


@pytest.fixture
def ax():
    _, made = plt.subplots()
    yield made
    plt.close("all")


@pytest.mark.parametrize("wrong", [None, 3, "ax", object()])
def test_axes(wrong):
    with pytest.raises(TypeError, match=r"^ax must be matplotlib axes; got .* plt\.subplots"):
        figures.scatter(wrong, Z)
    with pytest.raises(TypeError, match=r"^ax must be matplotlib axes"):
        figures.prior_circles(wrong)


@pytest.mark.parametrize(
    ("radii", "kind"),
    [(None, TypeError), ("12", TypeError), ([1, "2"], TypeError), ([-1.0], ValueError)],
)
def test_radii(ax, radii, kind):
    with pytest.raises(kind, match=r"^radii must be"):
        figures.prior_circles(ax, radii)
    assert not ax.patches


@pytest.mark.parametrize("wrong", [None, 3, [1], object()])
def test_texts(ax, wrong):
    with pytest.raises(TypeError, match=r"^title must be a string"):
        figures.scatter(ax, Z, title=wrong)
    assert not ax.collections
    with pytest.raises(TypeError, match=r"^prefix must be a string"):
        figures.play({"a": Z, "b": Z}, alt="two clouds", prefix=wrong)


@pytest.mark.parametrize("limit", [0.0, -1.0, 1e308, float("nan")])
def test_limits(ax, limit):
    with pytest.raises(ValueError, match=r"^limit must be"):
        figures.play({"a": Z}, alt="a cloud", limit=limit)
    with pytest.raises(ValueError, match=r"^limit must be"):
        figures.scatter(ax, Z, limit=limit)


def test_columns():
    with pytest.raises(ValueError, match=r"^columns must be at most 1000"):
        figures.image_grid(torch.zeros(2, 1, 4, 4), columns=10**400)


class Shaped(nn.Module):
    """A g that returns zeros of a shape."""

    def __init__(self, *shape, device="cpu"):
        super().__init__()
        self.shape, self.device = shape, device

    def forward(self, z):
        return torch.zeros(self.shape, device=self.device)


@pytest.mark.parametrize(
    "g",
    [nn.Linear(2, 3), nn.Linear(5, 3), Shaped(1, 2, 4, 4), Shaped(1, 1, 4, 4, device="meta")],
    ids=["no image", "another d", "two channels", "meta"],
)
def test_a_g_that_cannot_draw(g):
    with pytest.raises(ValueError, match=r"^g must turn \(1, d\) into an image"):
        widgets.latent_sliders(g, 2)


def test_too_many_sliders():
    with pytest.raises(ValueError, match=r"^d must be at most 100"):
        widgets.latent_sliders(Shaped(1, 1, 4, 4), 10**6)


def test_radii_in_an_array(ax):
    figures.prior_circles(ax, torch.tensor([1.0, 2.0]).numpy())
    assert len(ax.patches) == 2


@pytest.mark.parametrize("key", [1, None, (1, 2)])
def test_names_of_frames(key):
    with pytest.raises(TypeError, match=r"^clouds must have strings as keys"):
        figures.play({key: Z}, alt="a cloud")


def test_a_small_cloud_keeps_its_digits():
    fig = figures.play({"a": 1e-4 * Z}, alt="a cloud", limit=1e-3)
    assert torch.allclose(torch.tensor(fig.data[0].x), 1e-4 * Z[:, 0], atol=1e-6)
