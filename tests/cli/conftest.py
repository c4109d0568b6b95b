"""A folder with 60 images in SVHN's format, which the runs here use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (32, 32, 3, 60), dtype=np.uint8)
    y = rng.integers(1, 11, (60, 1), dtype=np.uint8)
    savemat(folder / "train_32x32.mat", {"X": x, "y": y})
    return folder


@pytest.fixture(autouse=True)
def here(images, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MCMCOT_DATA", str(images))
    monkeypatch.setenv("MCMCOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
