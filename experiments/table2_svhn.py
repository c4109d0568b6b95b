"""Table 2 on SVHN, where its files are to be had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments import table2_celeba
from experiments.sizes import Size

TITLE = "Table 2 on SVHN"
run, changes = table2_celeba.run, table2_celeba.changes


def budget(size: Size) -> Size:
    """As for faces below the full size; d = 64 and the 73,257 images there."""
    if size.width >= 1:
        return replace(size, n=73_257, d=64, iterations=200)
    return table2_celeba.budget(size)


def cases(size: Size) -> list[dict[str, Any]]:
    """Those of the faces."""
    return [case | {"dataset": "svhn"} for case in table2_celeba.cases(size)]
