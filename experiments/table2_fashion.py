"""Table 2 on Fashion-MNIST, which the paper does not have."""

from __future__ import annotations

from typing import Any

from experiments import table2
from experiments.sizes import Size

TITLE = "Table 2 on Fashion-MNIST"
run, changes = table2.run, table2.changes


def cases(size: Size) -> list[dict[str, Any]]:
    """Those of Table 2."""
    return [case | {"dataset": "fashion_mnist"} for case in table2.cases(size)]
