"""One thread for each test process: parallel workers would otherwise contend for the cores. And
the browser of the tests that need one.
"""

import chromium
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; the test is skipped where there is none."""
    program = chromium.program()
    if program is None:
        pytest.skip(chromium.MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=chromium.FLAGS)
        yield running
        running.close()
