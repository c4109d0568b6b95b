"""Filling without a model, against loops and scikit-learn."""

import pytest
import torch
from helpers import normal, seeded
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors

from mcmcot_lite import masks
from mcmcot_lite.fills import fill_mean, fill_nearest_image, fill_nearest_pixel

SHAPE = (2, 6, 5)
FILLS = [
    fill_mean,
    lambda x, m: fill_nearest_image(x, m, normal(9, 30, *SHAPE)),
    fill_nearest_pixel,
]


def case(n=40, share=0.4, seed=0):
    x = normal(seed, n, *SHAPE)
    return x, masks.salt_and_pepper(n, SHAPE, share=share, patch=2, rng=seeded(seed))


def test_the_mean_is_that_of_scikit_learn():
    x, m = case()
    want = SimpleImputer().fit_transform(x.masked_fill(~m, float("nan")).flatten(1).numpy())
    assert torch.allclose(fill_mean(x, m).flatten(1), torch.as_tensor(want))


def test_the_mean_of_other_images():
    x, m = case()
    train = normal(5, 70, *SHAPE)
    want = torch.where(m, x, train.mean(0))
    assert torch.allclose(fill_mean(x, m, train), want)
    seen = torch.rand(train.shape, generator=seeded(4)) > 0.3
    by_pixel = (train * seen).sum(0) / seen.sum(0)
    assert torch.allclose(fill_mean(x, m, train, seen), torch.where(m, x, by_pixel))


def test_a_pixel_that_nothing_shows_gets_the_mean_of_all():
    x = normal(0, 7, *SHAPE)
    m = torch.ones(SHAPE, dtype=torch.bool)
    m[0, 2, 3] = False
    want = x[:, m].mean()
    assert torch.allclose(fill_mean(x, m)[:, 0, 2, 3], want)


def test_the_nearest_image_is_that_of_a_loop(monkeypatch):
    x, m = case(23)
    train = normal(3, 50, *SHAPE)
    want = x.clone()
    for i in range(len(x)):
        far = ((x[i] - train).square() * m[i]).flatten(1).sum(1)
        want[i] = torch.where(m[i], x[i], train[far.argmin()])
    assert torch.equal(fill_nearest_image(x, m, train), want)
    monkeypatch.setattr("mcmcot_lite.fills.CELLS", 120)
    assert torch.equal(fill_nearest_image(x, m, train), want)


def test_the_nearest_image_far_from_zero():
    """Single precision has room for an offset of a thousand, but not for its square."""
    x, m = case(23)
    train = normal(3, 50, *SHAPE)
    far = fill_nearest_image((x + 1000).float(), m, (train + 1000).float())
    assert torch.allclose(far[~m], fill_nearest_image(x, m, train)[~m].float() + 1000, atol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "scale"), [(torch.float16, 500), (torch.float32, 1e30), (torch.float64, 1e100)]
)
def test_the_nearest_image_where_its_own_dtype_has_no_room_for_squares(dtype, scale):
    x, m = case(23)
    x, train = x.to(torch.float16).double(), normal(3, 50, *SHAPE).to(torch.float16).double()
    want = fill_nearest_image(x, m, train)
    found = fill_nearest_image((x * scale).to(dtype), m, (train * scale).to(dtype))
    assert torch.equal(found, (want * scale).to(dtype))
    with pytest.raises(
        FloatingPointError, match=r"distance of images must fit into torch\.float64"
    ):
        fill_nearest_image(x * 1e160, m, train * 1e160)


def test_the_nearest_pixel_is_as_near_as_scikit_learn_finds():
    x, m = case(12)
    y = fill_nearest_pixel(x, m)
    for i in range(len(x)):
        for c in range(SHAPE[0]):
            seen = m[i, c].nonzero().numpy()
            lost = (~m[i, c]).nonzero()
            far, _ = NearestNeighbors(n_neighbors=1).fit(seen).kneighbors(lost.numpy())
            for at, least in zip(lost, far[:, 0], strict=True):
                value = y[i, c, at[0], at[1]]
                source = (x[i, c] == value) & m[i, c]  # draws differ, so there is one
                assert int(source.sum()) == 1
                gap = (source.nonzero()[0] - at).double().norm()
                assert float(gap) == pytest.approx(least)


@pytest.mark.parametrize("fill", FILLS)
def test_hidden_pixels_are_not_read_and_visible_ones_not_changed(fill):
    x, m = case()
    spoiled = x.masked_fill(~m, float("nan"))
    y = fill(spoiled, m)
    assert torch.equal(y[m], x[m])
    assert bool(y.isfinite().all())
    assert torch.equal(y, fill(x, m))
    assert torch.equal(fill(x, torch.ones_like(m)), x)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(
    ("mask", "kind", "says"),
    [
        (None, TypeError, "mask must be a torch.Tensor"),
        (torch.ones(3), ValueError, "mask must have the shape of x"),
        (torch.full(SHAPE, 0.5), ValueError, "mask must hold only 0"),
    ],
)
def test_bad_masks(fill, mask, kind, says):
    with pytest.raises(kind, match=says):
        fill(case()[0], mask)


def test_nan_in_a_visible_pixel_names_the_image():
    x, m = case()
    x[17][m[17]] = float("nan")
    for fill in FILLS:
        with pytest.raises(ValueError, match="image 17"):
            fill(x, m)


def test_what_cannot_be_filled():
    x, m = case()
    with pytest.raises(FloatingPointError, match="mean image must fit"):
        fill_mean(torch.full_like(x, 1.7e308), m)
    none = torch.zeros_like(m)
    with pytest.raises(ValueError, match="mask must leave a pixel visible"):
        fill_mean(x, none)
    with pytest.raises(ValueError, match="train_mask must leave a pixel visible"):
        fill_mean(x, m, x, none)
    with pytest.raises(ValueError, match="train_mask must be left out"):
        fill_mean(x, m, None, m)
    m[5, 1] = False
    with pytest.raises(ValueError, match="none in image 5"):
        fill_nearest_pixel(x, m)
    with pytest.raises(ValueError, match=r"x must be \(n, H, W\)"):
        fill_nearest_pixel(x.flatten(1), m.flatten(1))
    with pytest.raises(ValueError, match="train must have shape"):
        fill_nearest_image(x, m, x[:, :1])
    train = x.clone()
    train[2] = float("nan")
    with pytest.raises(ValueError, match=r"train must be finite.*NaN or infinity in image 2"):
        fill_nearest_image(x, m, train)
    with pytest.raises(ValueError, match=r"train must be finite.*NaN or infinity in image 2"):
        fill_mean(x, m, train)
    first = normal(3, 50, *SHAPE)
    assert torch.equal(fill_nearest_image(x, none, first), first[:1].expand_as(x))
