"""Masks: exact coverage, places by their law, any size."""

from collections import Counter
from itertools import product

import pytest
import torch
from helpers import seeded
from scipy import stats

from mcmcot_lite import masks

SHAPES = [(64, 64), (3, 64, 64), (1, 28, 28), (9, 17), (2, 5, 33)]


def hidden(m):
    return (~m).flatten(1).sum(1)


def runs(row):
    """(start, length) of the hidden pixels of a line, which must be one run."""
    where = (~row).nonzero().flatten()
    assert len(where) == int(where[-1] - where[0]) + 1
    return int(where[0]), len(where)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "count"), [(3, 1), (4, 2), ((2, 5), 3), (1, 4)])
def test_patches_hide_exactly_their_pixels(shape, size, count):
    m = masks.patches(300, shape, size=size, count=count, rng=seeded())
    h, w = size if isinstance(size, tuple) else (size, size)
    channels = shape[0] if len(shape) == 3 else 1
    assert m.shape == (300, *shape)
    assert m.dtype == torch.bool
    assert (hidden(m) == count * h * w * channels).all()
    if channels > 1:
        assert (m == m[:, :1]).all()


def test_one_patch_is_a_full_rectangle():
    for m in masks.patches(50, (10, 12), size=(3, 4), rng=seeded()):
        assert runs(m.all(1))[1] == 3
        assert runs(m.all(0))[1] == 4


@pytest.mark.parametrize(("count", "shape"), [(1, (3, 4)), (2, (3, 4)), (3, (2, 6))])
def test_all_placements_are_equally_probable(count, shape):
    """Against a list of all placements without overlap, by a chi-square test."""
    h, w, n = 2, 2, 6000
    H, W = shape
    possible = set()
    places = list(product(range(H - h + 1), range(W - w + 1)))
    for chosen in product(places, repeat=count):
        cover = torch.ones(H, W, dtype=torch.int)
        for top, left in chosen:
            cover[top : top + h, left : left + w] -= 1
        if cover.min() >= 0:
            possible.add(tuple(cover.flatten().tolist()))
    m = masks.patches(n, shape, size=2, count=count, rng=seeded(3)).int()
    found = Counter(tuple(row.flatten().tolist()) for row in m)
    assert set(found) <= possible
    seen = [found[p] for p in possible]
    if len(seen) > 1:
        assert stats.chisquare(seen).pvalue > 1e-4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.7, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("patch", [1, 3, 5])
def test_salt_and_pepper_hides_exactly_its_share(shape, share, patch):
    m = masks.salt_and_pepper(40, shape, share=share, patch=patch, rng=seeded())
    pixels = shape[-1] * shape[-2]
    channels = shape[0] if len(shape) == 3 else 1
    assert m.shape == (40, *shape)
    assert (hidden(m) == round(share * pixels) * channels).all()


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_salt_and_pepper_is_made_of_patches(patch):
    """All hidden pixels but those of one cut patch lie in whole hidden patches."""
    H = 16
    for m in masks.salt_and_pepper(100, (H, H), share=0.3, patch=patch, rng=seeded(1)):
        gone = torch.ones(H + 2 * patch - 2, H + 2 * patch - 2, dtype=torch.bool)  # or outside
        gone[patch - 1 : patch - 1 + H, patch - 1 : patch - 1 + H] = ~m
        inside = torch.zeros_like(gone)
        for top, left in product(range(H + patch - 1), repeat=2):
            at = slice(top, top + patch), slice(left, left + patch)
            if gone[at].all():
                inside[at] = True
        rest = (gone & ~inside)[patch - 1 : patch - 1 + H, patch - 1 : patch - 1 + H]
        where = rest.nonzero()
        assert len(where) < patch**2
        if len(where):
            assert int((where.amax(0) - where.amin(0)).max()) < patch


@pytest.mark.parametrize("patch", [1, 3])
def test_the_first_patch_may_lie_anywhere_that_touches_the_image(patch):
    """One hidden pixel: any of those of the first patch inside the image, each as probably."""
    n, H = 40_000, 6
    want = torch.zeros(H, H, dtype=torch.float64)
    for top, left in product(range(1 - patch, H), repeat=2):
        at = slice(max(0, top), top + patch), slice(max(0, left), left + patch)
        want[at] += 1 / want[at].numel()
    want *= n / want.sum()
    m = masks.salt_and_pepper(n, (H, H), share=1 / H**2, patch=patch, rng=seeded(2))
    assert stats.chisquare((~m).sum(0).flatten(), want.flatten()).pvalue > 1e-4


def test_a_seed_gives_the_same_masks_and_another_gives_others():
    for make in (
        lambda rng: masks.patches(5, (3, 20, 20), size=6, count=2, rng=rng),
        lambda rng: masks.salt_and_pepper(5, (20, 20), share=0.5, rng=rng),
    ):
        assert torch.equal(make(seeded(7)), make(seeded(7)))
        assert not torch.equal(make(seeded(7)), make(seeded(8)))
        first = make(seeded(7))
        assert any(not torch.equal(first[0], m) for m in first[1:])


@pytest.mark.parametrize(
    ("kind", "pixels"),
    [
        ("two patches", 512),
        ("square 32", 1024),
        ("square 45", 2025),
        ("salt 50", 2048),
        ("salt 70", 2867),
        ("salt 90", 3686),
    ],
)
def test_the_papers_masks(kind, pixels):
    m = masks.of_paper(kind, 20, (3, 64, 64), rng=seeded())
    assert (hidden(m) == 3 * pixels).all()
    small = masks.of_paper(kind, 20, (28, 28), rng=seeded())
    assert (hidden(small).double().mean() / 784 - pixels / 4096).abs() < 0.02
    assert set(masks.KINDS) >= {kind}


def test_a_dense_placement_is_found():
    m = masks.patches(20, (64, 64), size=32, count=2, rng=seeded())
    assert (hidden(m) == 2048).all()


BAD = [
    ({"n": 0}, ValueError, "n must be at least 1"),
    ({"n": 2.0}, TypeError, "n must be a whole number"),
    ({"shape": 64}, TypeError, "shape must be"),
    ({"shape": "64"}, TypeError, "shape must be"),
    ({"shape": (64,)}, ValueError, "shape must be"),
    ({"shape": (1, 3, 64, 64)}, ValueError, "shape must be"),
    ({"shape": (64, 0)}, ValueError, r"shape\[1\]"),
    ({"shape": (64.0, 64)}, TypeError, r"shape\[0\]"),
    ({"rng": 0}, TypeError, "rng must be a torch.Generator"),
]
PATCHES = [
    ({"size": 0}, ValueError, "size must be at least 1"),
    ({"size": 2.5}, TypeError, "size must be a whole number"),
    ({"size": 65}, ValueError, "size must fit"),
    ({"size": (3, 65)}, ValueError, "size must fit"),
    ({"size": (3, 3, 3)}, ValueError, "size must be a whole number or"),
    ({"count": 0}, ValueError, "count must be at least 1"),
    ({"size": 32, "count": 5}, ValueError, "count must find room.*4 at most; got 5"),
]
SALT = [
    ({"share": -0.1}, ValueError, "share must lie in"),
    ({"share": 1.1}, ValueError, "share must lie in"),
    ({"share": float("nan")}, ValueError, "share must"),
    ({"share": "half"}, TypeError, "share must be a real number"),
    ({"patch": 0}, ValueError, "patch must be at least 1"),
    ({"patch": 65}, ValueError, "patch must fit"),
]


@pytest.mark.parametrize(
    ("n", "size", "count", "side"), [(300, 16, 7, 64), (5, 3, 60, 40), (3, 32, 4, 64)]
)
def test_crowded_patches_find_their_room(n, size, count, side, monkeypatch):
    """However many images ask: the densest of n decides nothing."""
    monkeypatch.setattr(masks, "TRIES", 20)
    m = masks.patches(n, (side, side), size=size, count=count, rng=seeded())
    assert ((~m).flatten(1).sum(1) == count * size**2).all()
    if count == 7:
        assert len(m.flatten(1).unique(dim=0)) == n


def test_moved_patches_are_placed_with_equal_probability(monkeypatch):
    """Three dominoes on a strip of seven: 4 placements."""
    monkeypatch.setattr(masks, "TRIES", 0)
    n = 4000
    m = masks.patches(n, (1, 7), size=(1, 2), count=3, rng=seeded())
    _, counts = m.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 4
    assert float((counts - n / 4).abs().max()) < 4 * (n * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("shape", [(1, 100), (2, 50), (3, 2, 2), (1, 2), (1, 9, 1)])
@pytest.mark.parametrize("kind", masks.KINDS)
def test_masks_of_the_paper_fit_into_any_image(kind, shape):
    m = masks.of_paper(kind, 3, shape, rng=seeded())
    assert m.shape == (3, *shape)
    if kind.startswith("salt"):
        pixels = shape[-1] * shape[-2]
        hidden = (~m.view(3, -1, pixels)[:, 0]).sum(1)
        assert (hidden == round(float(kind[5:]) / 100 * pixels)).all()


def test_one_pixel_has_no_room_for_two_patches():
    with pytest.raises(ValueError, match="shape must have 2 pixels or more"):
        masks.of_paper("two patches", 3, (1, 1), rng=seeded())


@pytest.mark.parametrize(("change", "kind", "says"), BAD + PATCHES)
def test_patches_refuse(change, kind, says, monkeypatch):
    monkeypatch.setattr(masks, "TRIES", 20)
    rng = seeded()
    before = rng.get_state()
    values = {"n": 3, "shape": (64, 64), "size": 8, "count": 2, "rng": rng} | change
    with pytest.raises(kind, match=says):
        masks.patches(**values)
    assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize(("change", "kind", "says"), BAD + SALT)
def test_salt_and_pepper_refuses(change, kind, says):
    rng = seeded()
    before = rng.get_state()
    values = {"n": 3, "shape": (64, 64), "share": 0.5, "rng": rng} | change
    with pytest.raises(kind, match=says):
        masks.salt_and_pepper(**values)
    assert torch.equal(rng.get_state(), before)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of 'two patches'"):
        masks.of_paper("circle", 3, (64, 64), rng=seeded())
