"""Runs an experiment's cases for every seed, one after the other or side by side."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from experiments import record
from experiments.sizes import SIZES, Size, settings

__all__ = ["EXPERIMENTS", "changed", "head", "load", "run", "wanted"]

EXPERIMENTS = (
    "figure2",
    "figure3",
    "table2",
    "table2_fashion",
    "table2_celeba",
    "table2_celeba_step",
    "table2_svhn",
    "table4",
    "table4_step",
    "table5",
    "table6",
    "table7",
    "table7_abp",
    "figure8",
    "readings",
    "algorithm2",
    "inpainting",
    "inpainting_faces",
    "table3",
    "table8",
    "table8_faces",
    "table8_step",
    "longer",
    "real",
)
Case = dict[str, Any]


def load(name: str) -> ModuleType:
    """The file of an experiment: TITLE, cases(size), run(case, size, seed).

    Where the settings of a case are not those of the head, nor told by the case, it has
    changes(case, size), too; and budget(size) where its budget is its own.
    """
    return importlib.import_module(f"experiments.{name}")


def budget_of(name: str, size: str, device: str = "cpu") -> Size:
    """That of the size, or what the experiment makes of it."""
    budget = getattr(load(name), "budget", lambda size: size)(SIZES[size])
    return replace(budget, device=device)


def changed(name: str, case: Case, size: Size) -> dict[str, Any]:
    """The settings of a case that are not those of the head."""
    own = getattr(load(name), "changes", lambda case, size: {})(case, size)
    usual = asdict(settings(size))
    told = {key: value for key, value in case.items() if key in usual} | own
    return {key: value for key, value in told.items() if usual.get(key) != value}


def _row(name: str, case: Case, size: Size, seed: int) -> dict[str, Any]:
    """One case, one seed, on one thread: so that it does not depend on what runs beside it."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    try:
        found = load(name).run(case, size, seed)
    except FloatingPointError as error:  # a run that diverges is a result
        found = {"diverged": 1.0, "error": str(error)}
    seconds = time.perf_counter() - begin
    row = {"case": case, "seed": seed, "settings": changed(name, case, size), "found": found}
    return _plain(row | {"seconds": seconds, **record.made()})


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
    """Yields rows as they are done; the file is whole after each.

    With ``only``, rows of other cases stay, and each of these until its successor is done; with
    ``resume``, all that are there. With neither, a file that is there goes to .old.json when the
    first row is done, unless the one kept there holds more rows.

    Raises:
        ValueError: the rows to keep were made with other settings, versions or another device.
    """
    budget = budget_of(name, size, device)
    path = record.where(name, size, folder)
    cases = wanted(name, size, only or {})
    todo = [(case, seed) for seed in range(seeds) for case in cases]
    rows: list[dict[str, Any]] = []
    if (resume or only) and path.exists():
        rows = _rows_of(name, size, folder, device)
        done = [(row["case"], row["seed"]) for row in rows]
        if resume:
            todo = [job for job in todo if job not in done]
    order = load(name).cases(budget)

    def kept(row: dict[str, Any]) -> dict[str, Any]:
        if not (rows or resume or only):
            record.set_aside(path)
        rows[:] = [r for r in rows if (r["case"], r["seed"]) != (row["case"], row["seed"])]
        rows.append(row)
        rows.sort(key=lambda row: (row["seed"], order.index(row["case"])))
        record.write(path, head(name, size, device) | {"rows": rows})
        return row

    if jobs == 1:
        for case, seed in todo:
            yield kept(_row(name, case, budget, seed))
        return
    context = multiprocessing.get_context("spawn")
    watched = {"initializer": _end_with, "initargs": (os.getpid(),)}
    with ProcessPoolExecutor(jobs, mp_context=context, **watched) as pool:
        pending = [pool.submit(_row, name, case, budget, seed) for case, seed in todo]
        try:
            for future in as_completed(pending):
                yield kept(future.result())
        finally:  # after an error the rest is not worth waiting for
            pool.shutdown(wait=False, cancel_futures=True)


def head(name: str, size: str, device: str = "cpu") -> dict[str, Any]:
    """What stands above the rows: all that decides them, but case and seed."""
    budget = budget_of(name, size, device)
    told = {"experiment": name, "title": load(name).TITLE, "size": size}
    told |= {"budget": asdict(budget), "settings": asdict(settings(budget))}
    return _plain(told | {"threads": 1, "made": record.machine(device)})


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


def _rows_of(name: str, size: str, folder: Path, device: str) -> list[dict[str, Any]]:
    path, there = record.where(name, size, folder), record.read(name, size, folder)
    now = head(name, size, device)
    differ = [key for key, value in now.items() if there.get(key) != value]
    budget = budget_of(name, size, device)
    known = load(name).cases(budget)
    if any(row["case"] not in known for row in there["rows"]):
        differ.append("case")
    elif any(row.get("settings") != _plain(changed(name, row["case"], budget))
             for row in there["rows"]):  # fmt: skip
        differ.append("settings of a case")
    if differ:
        text = f"{path} holds rows of another {', '.join(differ)}: they cannot stand in one table."
        raise ValueError(f"{text} Leave out --resume and --only, or choose another --out.")
    return there["rows"]


def wanted(name: str, size: str, only: dict[str, str]) -> list[Case]:
    """The cases of an experiment whose entries are those of only."""
    cases: list[Case] = load(name).cases(budget_of(name, size))
    return [c for c in cases if all(str(c.get(key)) == value for key, value in only.items())]
