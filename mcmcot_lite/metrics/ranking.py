"""How well a score puts the odd ones first."""

from __future__ import annotations

import torch
from torch import Tensor

from mcmcot_lite import checks

__all__ = ["auprc"]


def auprc(scores: Tensor, positive: Tensor) -> float:
    r"""Area under the precision-recall curve, as average precision.

    Going down the ranking, :math:`\sum_k (R_k - R_{k-1}) P_k` over the distinct scores, with
    precision P and recall R of all points that score at least the k-th: no interpolation, and equal
    scores count together. Chance gives the share of positives, a perfect ranking 1.

    Args:
        scores: one for each point, (n,); high for those held to be positive.
        positive: which are, (n,), bool or 0 and 1; one at least.

    Raises:
        TypeError, ValueError: on bad input.
    """
    checks.tensor("scores", scores, shape=(None,))
    remedy = "For example y == digit."
    if not isinstance(positive, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        got = checks.shown(positive)
        raise checks.fail("positive", "must be a torch.Tensor", got, remedy, TypeError)
    rule, got = "must have the shape of scores", f"shape {tuple(positive.shape)}"
    checks.require(positive.shape == scores.shape, "positive", rule, got, remedy)
    rule, got = "must hold values", "a tensor on device meta"
    checks.require(not positive.is_meta, "positive", rule, got, "Make it on a real device.")
    labels = positive.to(scores.device).double()
    bad = int(((labels != 0) & (labels != 1)).sum())
    checks.require(bad == 0, "positive", "must be 0 or 1", f"{bad} others", remedy)
    found = float(labels.sum())
    checks.require(found > 0, "positive", "must mark a point", "none", "Nothing is to be found.")
    ranked = scores.detach().double().sort(descending=True)
    hits = labels[ranked.indices].cumsum(0)
    last = torch.ones_like(hits, dtype=torch.bool)
    last[:-1] = ranked.values[1:] != ranked.values[:-1]  # the last one of each score
    count = torch.arange(1, len(hits) + 1, device=hits.device)[last]
    hits = hits[last]
    gained = hits.diff(prepend=hits.new_zeros(1)) / found
    return float((gained * hits / count).sum())
