"""The README's code runs as it stands, one block after the other."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from mcmcot_lite import fills

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_blocks_run(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 3
    rng = torch.Generator().manual_seed(0)
    told = {"a": torch.randn(200, 3, generator=rng), "b": torch.randn(200, 3, generator=rng)}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), told)
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
