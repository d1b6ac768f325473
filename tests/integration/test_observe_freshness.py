"""What a real Prometheus answers on series that begin, end and go on: a rate must not fall because its samples have."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.observe.freshness import Freshness, freshness
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.tenant_queries import ALLOW_ALL, admitted
from tests.integration.series import SCRAPE_SECONDS, Series, counting, steady, write_blocks

pytestmark = pytest.mark.integration

START = int(time.time()) // 3600 * 3600 - 8 * 3600
LENGTH = 3600
ENDS, BEGINS = 3000, 600
GONE, NEW, WELL = (f'sum(rate(requests_total{{app="{app}"}}[2m]))' for app in ("gone", "new", "well"))
GAUGE_GONE = 'sum(waiting{app="gone"})'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    series = [
        Series("requests_total", {"app": "gone", "pod": "a"}, counting(200.0), last_seconds=ENDS),
        Series("requests_total", {"app": "new", "pod": "a"}, counting(60.0, BEGINS), first_seconds=BEGINS),
        # One pod takes over from another: somebody was scraped all the time.
        Series("requests_total", {"app": "well", "pod": "a"}, counting(10.0), last_seconds=ENDS),
        Series("requests_total", {"app": "well", "pod": "b"}, counting(10.0, ENDS), first_seconds=ENDS),
        Series("waiting", {"app": "gone"}, steady(5.0), last_seconds=ENDS),
    ]
    with Server() as running:
        running.start(data_dir=write_blocks(series, START, LENGTH, tmp_path_factory.mktemp("blocks")))
        client = Prometheus(PrometheusSettings(running.url, timeout_seconds=10.0))
        yield client
        client.close()


async def at(client: Prometheus, seconds: float, *texts: str) -> dict[str, Freshness]:
    queries = {text: admitted(text, "ai", ALLOW_ALL) for text in texts}
    found = await freshness(QuerySession(client, START + seconds, 10.0, 180.0), queries.values())
    return {text: found[query] for text, query in queries.items()}


@pytest.mark.parametrize("after", [0.0, 7.0, 15.0, 22.0])
async def test_between_two_scrapes_all_is_well(client: Prometheus, after: float) -> None:
    found = await at(client, ENDS + after, GONE, WELL)
    assert {text: fresh.unfilled for text, fresh in found.items()} == {GONE: "", WELL: ""}
    assert found[GONE].newest_seconds == START + ENDS


@pytest.mark.parametrize("after", [25.0, 40.0, 90.0, 119.0])
async def test_series_that_have_gone_leave_a_range_unfilled(client: Prometheus, after: float) -> None:
    asker = QuerySession(client, START + ENDS + after, 10.0, 180.0)
    (told,) = (await asker.own([admitted(GONE, "ai", ALLOW_ALL)], "query")).values()
    found = await at(client, ENDS + after, GONE, WELL, GAUGE_GONE)
    # What the server tells by itself: less and less, then nothing.
    assert getattr(told, "value", 0.0) < 175.0
    assert found[GONE].unfilled == 'samples do not fill the 120 s that requests_total{app="gone"} looks back over'
    assert found[WELL].unfilled == ""
    # A gauge falls to nothing at once; it only grows old.
    assert found[GAUGE_GONE] == Freshness(START + ENDS)


@pytest.mark.parametrize(("after", "filled"), [(45.0, False), (100.0, False), (150.0, True), (600.0, True)])
async def test_series_that_have_begun_fill_it_with_time(client: Prometheus, after: float, filled: bool) -> None:
    found = await at(client, BEGINS + after, NEW)
    assert (found[NEW].unfilled == "") is filled


async def test_what_nobody_can_tell_is_taken_at_its_word(client: Prometheus) -> None:
    texts = ["vector(3)", "sum(rate(none_total[2m])) or vector(0)", "requests_total offset 1h", "sum(rate(x[2m]"]
    found = await at(client, LENGTH, *texts)
    assert set(found.values()) == {Freshness()}


async def test_a_range_shorter_than_a_few_scrapes_and_a_long_one_are_judged_alike(client: Prometheus) -> None:
    for back in (3 * SCRAPE_SECONDS, 1800):
        text = f'sum(rate(requests_total{{app="well"}}[{back}s]))'
        assert (await at(client, LENGTH - 10.0, text))[text].unfilled == ""
