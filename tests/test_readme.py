"""The README's code runs as it stands, one block after the other, on images of your own as well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mcmcot_lite import data, fills

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
FIRST, SECOND, THIRD = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
(FOLDER,) = re.findall(r"`(x = data\.image_folder\(.*?)`", TEXT)
(ARRAY,) = re.findall(r"`(x = torch\.from_numpy\(.*?)`", TEXT)


def ran(code: str, told: dict[str, Any]) -> None:
    exec(compile(code, "README.md", "exec"), told)


def test_the_blocks_run(capsys):
    rng = torch.Generator().manual_seed(0)
    told = {"a": torch.randn(200, 3, generator=rng), "b": torch.randn(200, 3, generator=rng)}
    for block in (FIRST, SECOND, THIRD):
        ran(block, told)
    assert "True" in capsys.readouterr().out  # the certificate
    assert told["done"].images.shape == (4, *told["x"].shape)
    assert told["score"].shape == (len(told["x"]),)
    M, x = told["M"], told["x"]
    assert torch.equal(told["whole"][M], x[M])
    mean = fills.fill_mean(x, M)
    errors = [
        float((y - x)[~M].square().mean()) for y in (told["whole"], *told["done"].images, mean)
    ]
    assert max(errors[:-1]) < errors[-1]


def test_they_run_on_a_folder_of_pictures(tmp_path, monkeypatch):
    """In colour, and larger than the generator draws."""
    (tmp_path / "pictures").mkdir()
    digits = data.mnist5k().classes(0, 1).x[:60, 0].numpy()
    for k, pixels in enumerate(digits):
        picture = Image.fromarray(pixels).convert("RGB").resize((300, 280))
        picture.save(tmp_path / "pictures" / f"{k}.png")
    monkeypatch.chdir(tmp_path)
    mine = re.sub(r"^x = .*$", FOLDER, FIRST, flags=re.M)
    told: dict[str, Any] = {}
    ran(mine, told)
    ran(SECOND, told)
    assert told["x"].shape == told["whole"].shape == (60, 1, 28, 28)
    assert abs(float(told["x"].mean()) - digits.mean() / 255) < 0.02  # nothing was cut off


def test_they_run_on_an_array_with_holes():
    """NumPy's own precision, NaN where a pixel is missing: the generator was trained on others."""
    told: dict[str, Any] = {}
    ran(FIRST, told)
    a = told["x"][:60].double().numpy().copy()
    a[:, :, 5:12, 3:9] = np.nan
    told["a"] = a
    ran(ARRAY, told)
    ran(SECOND, told)
    assert not told["M"][:, :, 5:12, 3:9].any()
    for name in ("whole", "score"):
        assert told[name].isfinite().all()
    assert told["done"].images.isfinite().all()
