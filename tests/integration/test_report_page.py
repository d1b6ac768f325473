"""The simulation's report in a real browser: it opens from disk, asks nobody for anything, and fits its window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hack.browser import browser_page
from hack.load.demand import DemandShape
from kcloud_autoscale.cli.main import main

pytestmark = pytest.mark.integration

STEPS = 3 * 288  # three days of five minutes


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    demand = DemandShape(bursts_per_day=4.0).sample(np.arange(STEPS) * 300.0)
    rows = [f"{index * 300},{value:.4f}" for index, value in enumerate(demand)]
    (folder / "load.csv").write_text("\n".join(["t_seconds,requests_per_second", *rows]))
    words = ["simulate", "--trace", str(folder / "load.csv"), "--capacity-per-replica", "5", "--startup-seconds", "300"]
    assert main([*words, "--history-steps", "288", "--report", str(folder / "report.html"), "--quiet"]) == 0
    return folder / "report.html"


def test_it_is_one_small_file_without_an_address_in_it(report: Path) -> None:
    text = report.read_text()
    assert len(text) < 5_000_000
    without_namespaces = text.replace("http://www.w3.org/", "")
    assert "http://" not in without_namespaces
    assert "https://" not in without_namespaces


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
async def test_it_opens_from_disk_and_fits(report: Path, width: int, height: int, dark: bool) -> None:
    async with browser_page() as page:
        await page.open(report.as_uri(), width=width, height=height, dark=dark)
        assert page.complaints == []
        told = await page.evaluate("document.body.innerText")
        assert all(policy in told for policy in ("predictive", "hpa", "static", "oracle"))
        # Nothing sticks out of the window: tables that are wider scroll in their own frame.
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        # Something was drawn.
        assert await page.evaluate("document.querySelectorAll('svg path, svg polyline, canvas').length") > 0
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        lightness = sum(int(part) for part in ground.strip("rgba()").split(",")[:3]) / 3
        assert (lightness < 128) == dark


async def test_the_decision_log_is_filtered_as_one_types(report: Path) -> None:
    rows = "document.querySelectorAll('#log td').length"
    typed = (
        "(() => {{ const box = document.querySelector('#filter'); box.value = '{}';"
        " box.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )
    async with browser_page() as page:
        await page.open(report.as_uri())
        everything = await page.evaluate(rows)
        await page.evaluate(typed.format("ForecastNeed"))
        forecasts = await page.evaluate(rows)
        assert 0 < forecasts < everything
        await page.evaluate(typed.format("no such reason anywhere"))
        assert await page.evaluate(rows) == 0
        assert page.complaints == []
