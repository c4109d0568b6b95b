"""Execute the book's pages, several at a time, into a fresh cache that the build then reads.

    python tools/execute_pages.py FOLDER [--jobs 2]

The build takes what is kept in FOLDER if EXECUTED_PAGES names it (``_ext/offline_book.py``). A page
that fails is not kept: the build executes it again, and stops there with its traceback.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import shutil
import time
from pathlib import Path

import mystbook
import nbformat
from jupyter_cache import get_cache
from jupyter_cache.executors.basic import ExecutionWorkerLocalSerial, ProcessData
from jupyter_cache.readers import get_reader

READER = {"name": "myst_nb_md", "type": "plugin"}


def notebook_of(folder: Path, name: str) -> Path:
    """Where the executed page stands as a notebook, for the archive of figures."""
    return folder / "notebooks" / f"{name}.ipynb"


def execute_one(task: ProcessData) -> tuple[bool, str, float]:
    """Executes one page in its own folder and keeps it: whether it failed, its path, seconds."""
    began = time.perf_counter()
    failed, uri = ExecutionWorkerLocalSerial(logging.getLogger("execute_pages"))(task)
    return bool(failed), uri, time.perf_counter() - began


def execute(folder: Path, jobs: int, root: Path = mystbook.ROOT) -> list[str]:
    """Names of the pages that failed; the outputs of the others are in folder."""
    shutil.rmtree(folder, ignore_errors=True)
    cache = get_cache(folder)
    notebook_of(folder, "").parent.mkdir(parents=True)
    book = mystbook.load(root)
    tasks, names = [], {}
    for page in book.pages.values():
        if page.is_notebook:
            record = cache.add_nb_to_project(str(page.path), read_data=READER)
            timeout = book.config["execute"]["timeout"]
            tasks.append(ProcessData(record.pk, record.uri, cache, timeout, False))
            names[record.uri] = page.name
    failures = []
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for failed, uri, seconds in pool.imap_unordered(execute_one, tasks):
            said = "FAILED after" if failed else "executed in"
            print(f"  {names[uri]}: {said} {seconds:.1f} s", flush=True)
            if failed:
                failures.append(names[uri])
                continue
            _, shown = cache.merge_match_into_notebook(get_reader(READER)(uri))
            nbformat.write(shown, notebook_of(folder, names[uri]))
    return failures


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Execute the book's pages into a fresh cache.")
    parser.add_argument("folder", type=Path, help="emptied, then filled")
    parser.add_argument("--jobs", type=int, default=2, help="pages at a time (default 2)")
    told = parser.parse_args()
    execute(told.folder, told.jobs)


if __name__ == "__main__":
    main()
