"""Images in a results file."""

from __future__ import annotations

import json

import torch

from experiments.pictures import packed, unpacked


def test_images_survive_to_half_a_level():
    x = torch.rand(2, 3, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    again = unpacked(json.loads(json.dumps(packed(x))))
    assert again.shape == x.shape
    assert float((again - x).abs().max()) <= 1 / 510 + 1e-6
    ends = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    assert unpacked(packed(ends)).tolist() == [0.0, 0.0, 1.0, 1.0]
