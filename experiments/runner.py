"""Runs an experiment's cases for every seed, one after the other or side by side."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from experiments import record
from experiments.sizes import SIZES, Size

__all__ = ["EXPERIMENTS", "load", "run", "wanted"]

EXPERIMENTS = (
    "figure2",
    "figure3",
    "table2",
    "table4",
    "table5",
    "table6",
    "table7",
    "figure8",
    "readings",
)
Case = dict[str, Any]


def load(name: str) -> ModuleType:
    """The file of an experiment: TITLE, cases(size), run(case, size, seed)."""
    return importlib.import_module(f"experiments.{name}")


def _row(name: str, case: Case, size: Size, seed: int) -> dict[str, Any]:
    """One case, one seed, on one thread: so that it does not depend on what runs beside it."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    try:
        found = load(name).run(case, size, seed)
    except FloatingPointError as error:  # a run that diverges is a result
        found = {"diverged": 1.0, "error": str(error)}
    return {"case": case, "seed": seed, "found": found, "seconds": time.perf_counter() - begin}


def run(
    name: str,
    size: str,
    seeds: int,
    *,
    jobs: int = 1,
    folder: Path = record.RESULTS,
    resume: bool = False,
    device: str = "cpu",
    only: dict[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yields rows as they are done; the file is whole after each."""
    module, budget = load(name), replace(SIZES[size], device=device)
    path = record.where(name, size, folder)
    cases = wanted(name, size, only or {})
    todo = [(case, seed) for seed in range(seeds) for case in cases]
    rows: list[dict[str, Any]] = []
    if resume and path.exists():
        rows = record.read(name, size, folder)["rows"]
        done = [(row["case"], row["seed"]) for row in rows]
        todo = [job for job in todo if job not in done]
    order = [(c, s) for s in range(seeds) for c in module.cases(SIZES[size])]

    def save() -> None:
        known = [r for r in rows if (r["case"], r["seed"]) in order]
        known.sort(key=lambda r: order.index((r["case"], r["seed"])))
        head = {"experiment": name, "title": module.TITLE, "size": size}
        head |= {"budget": asdict(budget), "threads": 1, "made": record.machine(device)}
        record.write(path, head | {"rows": known})

    if jobs == 1:
        for case, seed in todo:
            rows.append(_row(name, case, budget, seed))
            save()
            yield rows[-1]
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending = [pool.submit(_row, name, case, budget, seed) for case, seed in todo]
        try:
            for future in as_completed(pending):
                rows.append(future.result())
                save()
                yield rows[-1]
        finally:  # after an error the rest is not worth waiting for
            pool.shutdown(wait=False, cancel_futures=True)


def wanted(name: str, size: str, only: dict[str, str]) -> list[Case]:
    """The cases of an experiment whose entries are those of only."""
    cases: list[Case] = load(name).cases(SIZES[size])
    return [c for c in cases if all(str(c.get(key)) == value for key, value in only.items())]
