"""The pages' lines for images of your own run as they are printed, on folders of pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mcmcot_lite import data

BOOK = Path(__file__).resolve().parents[2] / "book"


def lines_of(page: str) -> str:
    """The one block of Python that stands on a page without being a cell, made quick."""
    text = (BOOK / f"{page}.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    quick = code.replace("Settings(d=10, s=0.1)", "Settings(d=10, s=0.1, K=2, iterations=2)")
    assert quick != code
    return re.sub(r"K=\d{3}", "K=3", quick)


@pytest.fixture
def digits() -> np.ndarray:
    """60 pictures, bytes, (n, 28, 28)."""
    return data.mnist5k().classes(0, 1).x[:60, 0].numpy()


@pytest.fixture
def folders(tmp_path, monkeypatch, digits):
    """Pictures in colour, not square, larger than the generator draws."""

    def make(*names: str) -> None:
        for name, some in zip(names, (digits[:40], digits[40:]), strict=True):
            (tmp_path / name).mkdir()
            for k, pixels in enumerate(some):
                picture = Image.fromarray(pixels).convert("RGB").resize((120, 90))
                picture.save(tmp_path / name / f"{k}.png")

    monkeypatch.chdir(tmp_path)
    return make


def test_complete_pictures_of_a_folder(folders):
    folders("whole_pictures", "torn_pictures")
    told: dict[str, Any] = {}
    exec(lines_of("inpainting"), told)
    done, torn, M = told["done"], told["torn"], told["M"]
    assert done.images.shape == (6, 20, 1, 28, 28)
    assert torch.equal(done.images[0][M], torn[M])
    assert int((~M[0]).sum()) == 14 * 14
    assert (done.diversity > 0).all()
    assert not done.spread[M].any()


def test_judge_pictures_of_a_folder(folders):
    folders("normal_pictures", "new_pictures")
    told: dict[str, Any] = {}
    exec(lines_of("anomaly"), told)
    score = told["score"]
    assert score.total.shape == (20,)
    assert score.total.isfinite().all()
    torch.testing.assert_close(score.total, score.reconstruction + score.prior)


def test_recover_an_array_with_holes(digits):
    holes = digits[:, None] / 255.0
    holes[:, :, 5:12, 3:9] = np.nan
    told: dict[str, Any] = {"your_array": holes}
    exec(lines_of("incomplete"), told)
    done, x, M = told["done"], told["x"], told["M"]
    assert torch.equal(done[M], x[M])
    assert done.isfinite().all()
    assert not M[:, :, 5:12, 3:9].any()
    assert int((~M).sum()) == 60 * 7 * 6
