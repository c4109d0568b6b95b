"""Table 3: anomaly detection, each digit once held out of training.

The score is the negative log joint at the inferred latent, Section 7.5; how well it puts the
held-out digit first among test images is an area under the precision-recall curve.
"""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from experiments.methods import METHODS, learning
from experiments.sizes import Size, settings
from experiments.task import Task
from mcmcot_lite import Score, data, infer, score_of_latents
from mcmcot_lite.baselines import LEBM, VAE, Corrected, Model, fit_model
from mcmcot_lite.metrics import auprc

TITLE = "Table 3: AUPRC of the digit that training did not see (MNIST)"
ALPHAS = (0.0, 0.1, 0.3, 0.5)  # the first is ABP
STEP = 0.1  # of all chains, LEBM's own
STEPS = (20, 50, 100, 200)  # of the chains that score; the last is the table's
REPEATS = 5  # of the scoring: another start, other noise; ten at the full width, as the paper


def budget(size: Size) -> Size:
    """60 runs a seed: half the images, an eighth of the width."""
    if size.width >= 1 or size.n < 1000:
        return size
    return replace(size, n=1000, held=1000, width=0.125)


def cases(size: Size) -> list[dict[str, Any]]:
    """Each digit, each method."""
    names = [{"method": "VAE"}, {"method": "LEBM"}]
    names += [{"method": "MCMC-OT" if a else "ABP", "alpha": a} for a in ALPHAS]
    return [{"digit": digit} | name for digit in range(10) for name in names]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """Of the settings."""
    return {"s": STEP}


class Digits(Task):
    """MNIST without one digit to learn from; with it to be judged."""

    def __init__(self, digit: int, size: Size) -> None:
        super().__init__("mnist", size)
        train, test = (data.load("mnist", split=s) for s in ("train", "test"))
        keep = train.y != digit
        self.__dict__["x"] = train.images()[keep][: size.n].to(size.device)
        self.test = test.images()[: size.held].to(size.device)
        self.odd = (test.y == digit)[: size.held]


def scores(model: Model, x: Tensor, rng: torch.Generator) -> dict[str, Score]:
    """By name: where chains score, the number of their steps."""
    if isinstance(model, VAE):
        mean, _ = model.encode(x)
        return {"mean": score_of_latents(model.g, mean.detach(), x, sigma=model.sigma)}
    if isinstance(model, LEBM):
        energy = model.energy
        z = model.infer(x, rng=rng, K=STEPS[-1])  # as many as the others' chains
        prior = lambda z: energy(z) - z.square().sum(1) / 2  # noqa: E731
        return {str(STEPS[-1]): score_of_latents(model.g, z, x, sigma=model.sigma, log_prior=prior)}
    st, found, z, done = model.settings, {}, None, 0
    for K in STEPS:
        how = {"batch_size": st.batch_size}
        z = infer(model.g, x, z, d=None if done else st.d, sigma=st.sigma, s=st.s, K=K - done,
                  rng=rng, **how).z  # fmt: skip
        done = K
        found[str(K)] = score_of_latents(model.g, z, x, sigma=st.sigma, **how)
    return found


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Trains on nine digits; how well the tenth is found."""
    task = Digits(case["digit"], size)
    rng = torch.Generator().manual_seed(seed)
    model = METHODS[case["method"]](task, size.d, rng)
    rng = task.placed(model, rng, seed)
    st = settings(size, s=STEP, alpha=case.get("alpha", 0.5))
    begin = time.perf_counter()
    if isinstance(model, Corrected):
        model.settings = st
        model.train_by(task.x, rng=rng, progress=False)
    else:
        fit_model(model, task.x, rng=rng, **learning(st))
    found: dict[str, Any] = {"seconds": time.perf_counter() - begin}
    found["share"] = float(task.odd.double().mean())  # what chance would give
    areas: dict[str, list[float]] = {}
    for repeat in range(REPEATS * (2 if size.width >= 1 else 1)):
        by_name = scores(model, task.test, task.rng(30_000 + 100 * seed + repeat))
        for name, score in by_name.items():
            for part in ("total", "reconstruction", "prior"):
                area = auprc(getattr(score, part).double(), task.odd)
                areas.setdefault(f"{part} {name}", []).append(area)
    found["areas"] = {key: fmean(values) for key, values in areas.items()}
    last = list(by_name)[-1]
    found["auprc"] = found["areas"][f"total {last}"]
    found["auprc_sd"] = stdev(areas[f"total {last}"])
    if isinstance(model, VAE):
        draws = [model.elbo(task.test, rng=task.rng(31_000 + i)).detach() for i in range(REPEATS)]
        found["auprc_bound"] = auprc(-torch.stack(draws).mean(0).double(), task.odd)
    if seed == 0 and case.get("alpha") == 0.3:  # for the histograms
        score = by_name[last]
        found["scores"] = [round(float(v), 1) for v in score.total]
        found["odd"] = task.odd.int().tolist()
    return found
