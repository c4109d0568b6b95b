"""Seconds until a page of the built book can be used, opened from disk with an empty cache.

    python benchmarks/pages.py [--repeats 5]

Usable: the page's `load` event has passed and the first screen's formulas are set, as MathJax says.
Medians over fresh browser profiles go to `results/pages.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import machine
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "pages.json"
sys.path.insert(0, str(ROOT / "tools"))

from chromium import FLAGS, program  # noqa: E402

USABLE = """() => new Promise(done => {
  const end = () => done(performance.now() / 1000);
  window.MathJax && MathJax.startup ? MathJax.startup.promise.then(end) : end();
})"""


def seconds(browser: Browser, address: str) -> float:
    """One visit in a fresh profile; the clock starts when the navigation does."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    try:
        page = context.new_page()
        page.goto(address, wait_until="load")
        return float(page.evaluate(USABLE))
    finally:
        context.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--html", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    pages = sorted((given.html.resolve() / "book").glob("*.html"))
    path = program()
    if path is None or not pages:
        parser.error("needs chromium on PATH and a built book (`make book`)")
    taken: dict[str, list[float]] = {page.stem: [] for page in pages}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        version = browser.version
        for _ in range(given.repeats):
            for page in pages:
                taken[page.stem].append(seconds(browser, page.as_uri()))
        browser.close()
    report = {
        "machine": machine.record() | {"browser": f"Chromium {version}"},
        "repeats": given.repeats,
        "seconds": {name: round(statistics.median(times), 2) for name, times in taken.items()},
    }
    print(json.dumps(report, indent=1))
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
