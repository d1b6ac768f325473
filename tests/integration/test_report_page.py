"""The reports in a real browser: they open from disk, ask nobody for anything, and fit their window."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hack.browser import browser_page
from hack.load.demand import DemandShape
from kcloud_autoscale.cli.main import main

pytestmark = pytest.mark.integration

STEPS = 3 * 288  # three days of five minutes
MIDNIGHT = 1_799_971_200  # of 2027-01-15; labels of dated demand are the longest
MODELS = ("online-ensemble", "last-value", "ewma")
# Labels of one picture that lie upon each other; two pixels are the font's own margin.
OVERLAPS = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const labels = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  return labels.flatMap(([one, a], index) => labels.slice(index + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
    .map(([other]) => `${one} on ${other}`));
})"""
# Labels that are cut off at an edge of their picture.
CUT = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
    .filter(([, box]) => box.left < frame.left || box.right > frame.right).map(([words]) => words);
})"""
# What the level axis of the chart says, from the bottom.
LEVELS = """[...document.querySelectorAll('#chart text')].filter(text => text.getAttribute('text-anchor') === 'end'
  && !text.textContent.includes(':')).map(text => text.textContent)"""
# Left and right edge of each label of the time axis, then those of the strip below, which is as wide as the chart.
MOMENTS = """[...[...document.querySelectorAll('#chart text')].filter(text => text.textContent.includes(':')),
  document.querySelector('#overview rect')].map(node => node.getBoundingClientRect())
  .map(box => [box.left, box.right])"""
WINDOWS = [((1280, 900), False), ((1280, 900), True), ((390, 844), False), ((390, 844), True)]
# Tables with words in them that have to be scrolled.
SCROLLED = """[...document.querySelectorAll('.worded')].filter(table => table.parentElement.scrollWidth
  > table.parentElement.clientWidth).map(table => table.id)"""


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    demand = DemandShape(bursts_per_day=4.0).sample(np.arange(STEPS) * 300.0)
    rows = [f"{MIDNIGHT + index * 300},{value:.4f}" for index, value in enumerate(demand)]
    path = tmp_path_factory.mktemp("report") / "load.csv"
    path.write_text("\n".join(["timestamp,requests_per_second", *rows]))
    return path


@pytest.fixture(scope="module")
def simulation(load: Path) -> Path:
    page = load.with_name("simulation.html")
    words = ["simulate", "--trace", str(load), "--capacity-per-replica", "5", "--startup-seconds", "300"]
    assert main([*words, "--history-steps", "288", "--report", str(page), "--quiet"]) == 0
    return page


@pytest.fixture(scope="module")
def backtest(load: Path) -> Path:
    page, other = load.with_name("backtest.html"), load.with_name("a-service-with-a-name-as-long-as-they-often-are.csv")
    other.write_text(load.read_text().replace("requests_per_second", "tokens"))
    words = ["backtest", str(load), str(other), "--models", ",".join(MODELS), "--step-size", "3"]
    assert main([*words, "--report", str(page)]) == 0
    return page


def written(path: Path, demand: Iterable[float], step_seconds: int = 60) -> Path:
    """A trace that begins at midnight."""
    rows = [f"{MIDNIGHT + index * step_seconds},{value!r}" for index, value in enumerate(demand)]
    path.write_text("\n".join(["timestamp,requests_per_second", *rows]))
    return path


def replayed(folder: Path, demand: Iterable[float], capacity: float, *more: str) -> Path:
    """The report of a simulation of one-minute steps."""
    page, trace = folder / "simulation.html", written(folder / "load.csv", demand)
    words = ["simulate", "--trace", str(trace), "--capacity-per-replica", repr(capacity), "--startup-seconds", "120"]
    assert main([*words, *more, "--report", str(page), "--quiet"]) == 0
    return page


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


both = pytest.mark.parametrize("report", ["simulation", "backtest"], indirect=True)


@both
def test_it_is_one_small_file_without_an_address_in_it(report: Path) -> None:
    text = report.read_text()
    assert len(text) < 5_000_000
    without_namespaces = text.replace("http://www.w3.org/", "")
    assert "http://" not in without_namespaces
    assert "https://" not in without_namespaces


@both
async def test_it_opens_from_disk_and_fits(report: Path) -> None:
    told_of = ("predictive", "hpa", "static", "oracle") if report.stem == "simulation" else MODELS
    async with browser_page() as page:
        for (width, height), dark in WINDOWS:
            await page.open(report.as_uri(), width=width, height=height, dark=dark)
            assert page.complaints == []
            told = await page.evaluate("document.body.innerText")
            assert all(name in told for name in told_of)
            # Nothing sticks out of the window: tables that are wider scroll in their own frame.
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await page.evaluate(OVERLAPS) == []
            assert await page.evaluate(CUT) == []
            # A row with words in it is read without scrolling.
            assert await page.evaluate(SCROLLED) == []
            # Something was drawn.
            assert await page.evaluate("document.querySelectorAll('svg path, svg polyline, canvas').length") > 0
            ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            lightness = sum(int(part) for part in ground.strip("rgba()").split(",")[:3]) / 3
            assert (lightness < 128) == dark


# 90 minutes of a wave between 4 and 16 replicas' worth of load; the axis of the chart ends beyond 16 of them.
WAVE = [10.0 - 6.0 * math.cos(index / 15.0) for index in range(90)]


@pytest.mark.parametrize(
    ("capacity", "levels", "first_demand"),
    [
        (1.0, ["0", "5", "10", "15", "20"], "4.013"),
        (2e5, ["0", "1M", "2M", "3M", "4M"], "802,700"),
        (5e-5, ["0", "0.00025", "0.0005", "0.00075", "0.001"], "0.0002007"),
        (1e-7, ["0", "5e-7", "1e-6", "1.5e-6", "2e-6"], "4.013e-7"),
    ],
)
async def test_loads_of_every_size_can_be_read(
    tmp_path: Path, capacity: float, levels: list[str], first_demand: str
) -> None:
    simulated = replayed(tmp_path, [capacity * value for value in WAVE], capacity)
    scored = tmp_path / "backtest.html"
    assert main(["backtest", str(tmp_path / "load.csv"), "--models", "last-value", "--report", str(scored)]) == 0
    async with browser_page() as page:
        for (width, height), dark in WINDOWS:
            await page.open(simulated.as_uri(), width=width, height=height, dark=dark)
            assert await page.evaluate(LEVELS) == levels
            assert await page.evaluate(CUT) == []
            # Decided at the second step, where demand is 10 - 6 cos(1/15) = 4.013 replicas' worth.
            assert await page.evaluate("document.querySelector('#log td:nth-child(3)').textContent") == first_demand
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await page.evaluate(SCROLLED) == []
            await page.open(scored.as_uri(), width=width, height=height, dark=dark)
            shown = await page.evaluate(LEVELS)
            assert len(set(shown)) == len(shown) > 2
            assert await page.evaluate(CUT) == []
        assert page.complaints == []


async def test_the_smallest_load_there_is_has_an_axis(tmp_path: Path) -> None:
    # A fifth of 5e-324 is 0, by which no tick comes after another.
    page_file, load = tmp_path / "backtest.html", written(tmp_path / "load.csv", [5e-324] * 90)
    assert main(["backtest", str(load), "--models", "last-value", "--report", str(page_file)]) == 0
    async with browser_page() as page:
        await page.open(page_file.as_uri())
        assert await page.evaluate(LEVELS) == ["0", "2e-301", "4e-301", "6e-301", "8e-301", "1e-300"]
        # Of the largest there is, 4 % more is infinite.
        ticks = await page.evaluate("niceTicks(ceiling(1.75e308, 1.04), 5)")
        assert ticks == [0.0, 5e307, 1e308, 1.5e308]
        assert page.complaints == []


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 90])
async def test_moments_are_written_as_far_apart_as_the_window_allows(tmp_path: Path, steps: int) -> None:
    simulated = replayed(tmp_path, WAVE[:steps], 1.0)
    async with browser_page() as page:
        for width, height in ((1280, 900), (390, 844)):
            await page.open(simulated.as_uri(), width=width, height=height)
            *labels, (left, right) = await page.evaluate(MOMENTS)
            labels.sort()
            assert len(labels) >= 2
            # The first begins where the chart does, and the last ends where it ends.
            assert labels[0][0] == pytest.approx(left, abs=2.0)
            assert labels[-1][1] == pytest.approx(right, abs=2.0)
            assert all(after[0] - before[1] >= 10.0 for before, after in pairwise(labels))
            assert await page.evaluate(CUT) == []


async def test_steps_shorter_than_a_minute_are_told_apart(tmp_path: Path) -> None:
    trace, simulated = written(tmp_path / "load.csv", WAVE[:20], 15), tmp_path / "simulation.html"
    words = ["simulate", "--trace", str(trace), "--capacity-per-replica", "1", "--startup-seconds", "0"]
    assert main([*words, "--report", str(simulated), "--quiet"]) == 0
    ends = """[...document.querySelectorAll('#chart text')].map(text => text.textContent)
      .filter(words => words.includes(':')).slice(0, 2)"""
    async with browser_page() as page:
        await page.open(simulated.as_uri())
        await page.evaluate("look(1, 19)")  # 1 * 15 s to 19 * 15 s
        assert await page.evaluate(ends) == ["2027-01-15 00:00:15", "2027-01-15 00:04:45"]


@both
async def test_a_finger_that_points_reads_the_chart(report: Path) -> None:
    tap = """(() => {
      const chart = document.querySelector('#chart'), box = chart.getBoundingClientRect();
      const at = { clientX: box.left + box.width / 2, clientY: box.top + 50, bubbles: true };
      chart.dispatchEvent(new PointerEvent('pointerdown', at));
      return document.querySelector('#reading').textContent;
    })()"""
    async with browser_page() as page:
        await page.open(report.as_uri(), width=390, height=844)
        assert "2027-01-1" in await page.evaluate(tap)


async def test_the_band_lasts_as_long_as_its_last_step_and_is_within_the_scale(tmp_path: Path) -> None:
    # One replica of the four to 14 that are planned for is all there may be.
    simulated = replayed(tmp_path, WAVE[:40], 1.0, "--max-replicas", "1")
    edges = """['path[stroke="var(--demand)"]', 'path[fill="var(--band)"]']
      .map(path => document.querySelector('#chart ' + path).getBBox()).map(box => [box.x + box.width, box.y])"""
    async with browser_page() as page:
        await page.open(simulated.as_uri())
        (demand_ends, _), (band_ends, band_top) = await page.evaluate(edges)
        assert band_ends == pytest.approx(demand_ends)
        # The highest is 4 % below the upper edge of 340 - 8 - 22 pixels, which is at 8: 8 + 310 * (1 - 1/1.04).
        assert band_top == pytest.approx(19.9, abs=0.2)


async def test_a_policy_that_is_chosen_is_drawn_where_it_is(tmp_path: Path) -> None:
    # The night ends at 4 replicas' worth and static has the 16 of the peak: zoomed in, the axis must reach them.
    simulated = replayed(tmp_path, [*WAVE, *([4.0] * 600)], 1.0)
    choose = (
        "(() => { const box = document.querySelector('#beside'); box.value = 'static';"
        " box.dispatchEvent(new Event('change')); })()"
    )
    # Measured by the lowest and the highest line of the axis, in the load of a replica.
    drawn_at = """(() => {
      const labels = [...document.querySelectorAll('#chart text')];
      const [low, ...more] = labels.filter(text => !text.textContent.includes(':'));
      const high = more[more.length - 1], height = text => Number(text.getAttribute('y')) - 4;
      const path = document.querySelector('#chart path[stroke="var(--other)"]').getAttribute('d');
      const up = height(low) - Number(/^M[^,]*,([0-9.]+)/.exec(path)[1]);
      return Number(high.textContent) * up / (height(low) - height(high));
    })()"""
    async with browser_page() as page:
        await page.open(simulated.as_uri())
        await page.evaluate(choose)
        await page.evaluate(
            "[...document.querySelectorAll('#spans button')].find(b => b.textContent === 'last 6 hours').click()"
        )
        assert await page.evaluate(drawn_at) == pytest.approx(16.0, abs=0.1)
        assert page.complaints == []


@both
async def test_the_span_that_is_looked_at_is_marked(report: Path) -> None:
    pressed = """[...document.querySelectorAll('#spans button')]
      .filter(button => button.getAttribute('aria-pressed') === 'true').map(button => button.textContent)"""
    click = "[...document.querySelectorAll('#spans button')].find(button => button.textContent === '{}').click()"
    ground = (
        """[...document.querySelectorAll('#spans button')].map(button => getComputedStyle(button).backgroundColor)"""
    )
    async with browser_page() as page:
        await page.open(report.as_uri())
        assert await page.evaluate(pressed) == ["all"]
        await page.evaluate(click.format("last 6 hours"))
        assert await page.evaluate(pressed) == ["last 6 hours"]
        *others, last = await page.evaluate(ground)
        assert last not in others
        await page.evaluate("look(3, 50)")  # as a drag over the strip does
        assert await page.evaluate(pressed) == []
        assert page.complaints == []


async def test_the_decision_log_is_filtered_as_one_types(simulation: Path) -> None:
    rows = "document.querySelectorAll('#log td').length"
    typed = (
        "(() => {{ const box = document.querySelector('#filter'); box.value = '{}';"
        " box.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )
    async with browser_page() as page:
        await page.open(simulation.as_uri())
        everything = await page.evaluate(rows)
        await page.evaluate(typed.format("ForecastNeed"))
        forecasts = await page.evaluate(rows)
        assert 0 < forecasts < everything
        # What a row shows finds it, but no other: when, how many from and to, and the words that open below.
        first = "[...document.querySelectorAll('#log tr')[1].querySelectorAll('td')].map(cell => cell.textContent)"
        await page.evaluate(typed.format(""))
        when, step, demand, ready, replicas, why = await page.evaluate(first)
        assert "→" in replicas
        for shown in (when, when[:10], step, demand, f"{ready} {replicas}", replicas.replace("→", "->"), why[-20:]):
            await page.evaluate(typed.format(shown))
            assert (await page.evaluate(first))[0] == when, shown
        await page.evaluate(typed.format(when))
        assert await page.evaluate(rows) == 6
        await page.evaluate(typed.format("no such reason anywhere"))
        assert await page.evaluate(rows) == 0
        assert page.complaints == []


async def test_a_backtest_is_looked_at_as_a_whole_and_series_by_series(backtest: Path) -> None:
    picked = (
        "(() => {{ const box = document.querySelector('#{}'); box.selectedIndex = {};"
        " box.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
    )
    band = "document.querySelector('#chart path').getAttribute('d')"
    # Windows are judged from step 432 on: cutoffs 431, 434, … 860 of 864 steps, 144 a series.
    async with browser_page() as page:
        await page.open(backtest.as_uri())
        assert await page.evaluate("document.querySelector('#windows').textContent") == "288 windows"
        assert await page.evaluate("document.querySelectorAll('#honest circle').length") == 7 * len(MODELS)
        assert await page.evaluate("document.querySelectorAll('#bars rect').length") == len(MODELS)
        await page.evaluate(picked.format("scope", 1))
        assert await page.evaluate("document.querySelector('#windows').textContent") == "144 windows"
        ours = await page.evaluate(band)
        await page.evaluate(picked.format("model", 2))
        assert await page.evaluate(band) != ours
        await page.evaluate("document.querySelector('#byDay').click()")
        assert await page.evaluate("document.querySelectorAll('#when circle').length") == 2 * len(MODELS)
        assert await page.evaluate(CUT) == []
        assert page.complaints == []
