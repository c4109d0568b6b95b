"""What an ImageSet promises, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mcmcot_lite.data import ImageSet

X = torch.arange(6 * 2 * 2, dtype=torch.uint8).reshape(6, 1, 2, 2) * 10
Y = torch.tensor([3, 1, 3, 7, 1, 3])


def make(x: Any = X, y: Any = Y) -> ImageSet:
    return ImageSet(x, y, "toy", "train", "a test", "none")


def test_images_lie_in_the_unit_interval() -> None:
    for dtype in (torch.float16, torch.float32, torch.float64):
        images = make(X.clone().fill_(255)).images(dtype)
        assert images.dtype == dtype
        assert images.shape == X.shape
        assert bool((images == 1).all())
    assert float(make().images()[0, 0, 0, 1]) == pytest.approx(10 / 255)


def test_classes_keeps_order_and_labels() -> None:
    some = make().classes(7, 3)
    assert some.y is not None
    assert some.y.tolist() == [3, 3, 7, 3]
    assert torch.equal(some.x, X[[0, 2, 3, 5]])
    assert (some.name, some.source) == ("toy", "a test")


def test_take_first_or_drawn_without_replacement() -> None:
    assert torch.equal(make().take(2).x, X[:2])
    drawn = make().take(6, torch.Generator().manual_seed(0))
    again = make().take(6, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.x, again.x)
    assert sorted(drawn.x[:, 0, 0, 0].tolist()) == sorted(X[:, 0, 0, 0].tolist())
    index = [X[:, 0, 0, 0].tolist().index(k) for k in drawn.x[:, 0, 0, 0].tolist()]
    assert drawn.y is not None
    assert torch.equal(drawn.y, Y[index])
    assert make(y=None).take(3).y is None


def test_len_repr_and_frozen() -> None:
    assert len(make()) == 6
    assert repr(make()) == (
        "ImageSet('toy', 'train': 6 images of 1 x 2 x 2, 3 classes, from a test)"
    )
    assert "no labels" in repr(make(y=None))
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda s: s.classes(4), ValueError, r"classes of toy \(train\): 1, 3, 7; got 4"),
        (lambda s: s.classes(), ValueError, r"at least one class; got none. Pass some of 1, 3, 7"),
        (lambda s: s.classes("3"), TypeError, "whole number"),
        (lambda s: s.classes([1, 3]), TypeError, "whole number"),
        (lambda s: s.classes(True), TypeError, "whole number"),
        (lambda s: s.classes(-1), ValueError, "at least 0"),
        (lambda s: s.take(7), ValueError, "at most 6, the number of images here; got 7"),
        (lambda s: s.take(0), ValueError, "at least 1"),
        (lambda s: s.take(2.0), TypeError, "whole number"),
        (lambda s: s.take(2, 0), TypeError, "rng must be a torch.Generator"),
        (lambda s: s.images(torch.uint8), TypeError, "floating-point torch.dtype"),
        (lambda s: s.images("float32"), TypeError, "floating-point torch.dtype"),
        (lambda _: make(y=None).classes(1), ValueError, "needs labels, and toy has none"),
        (lambda _: make(X.float()), TypeError, "x must be a torch.Tensor of dtype torch.uint8"),
        (lambda _: make(X.numpy()), TypeError, "x must be a torch.Tensor"),
        (lambda _: make(X[:, 0]), ValueError, r"shape \(n, c, h, w\)"),
        (lambda _: make(X[:0], Y[:0]), ValueError, "at least one image"),
        (lambda _: make(y=Y.int()), TypeError, "y must be a torch.Tensor of dtype torch.int64"),
        (lambda _: make(y=Y[:5]), ValueError, r"y must have shape \(6,\)"),
    ],
)
def test_bad_input(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call(make())
