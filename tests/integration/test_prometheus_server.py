"""The real Prometheus of `hack/cluster`: stopped, started and reloaded as tests of outages need it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hack.cluster import ClusterError, Prometheus
from hack.cluster.processes import loopback_environment
from tests.integration.waiting import eventually

pytestmark = pytest.mark.integration

Make = Callable[[], Prometheus]
SELF_SCRAPE = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: itself
    static_configs: [{{targets: ["{target}"]}}]
"""


def query(server: Prometheus, expression: str, **parameters: str) -> list[dict[str, Any]]:
    words = urllib.parse.urlencode({"query": expression, **parameters})
    with urllib.request.urlopen(f"{server.url}/api/v1/query?{words}", timeout=10) as answer:
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return result


def scraping_itself(server: Prometheus) -> str:
    return SELF_SCRAPE.format(target=server.url.removeprefix("http://"))


def test_it_scrapes_and_keeps_port_and_data_over_stop_and_restart(prometheus: Make) -> None:
    server = prometheus()
    server.start(scraping_itself(server))
    eventually(lambda: query(server, "up"), lambda found: bool(found) and found[0]["value"][1] == "1", 15)
    scraped_at, url = time.time(), server.url

    server.stop()
    with pytest.raises(urllib.error.URLError):
        query(server, "up")
    server.restart()

    assert server.url == url
    assert query(server, "up", time=str(scraped_at))


def test_a_crash_loses_nothing_that_was_scraped(prometheus: Make) -> None:
    server = prometheus()
    server.start(scraping_itself(server))
    eventually(lambda: query(server, "up"), bool, 15)
    scraped_at = time.time()

    server.stop(kill=True)
    server.restart()

    assert query(server, "up", time=str(scraped_at))


def test_a_new_configuration_is_taken_and_a_broken_one_refused(prometheus: Make) -> None:
    server = prometheus()
    server.start()
    assert query(server, "up") == []

    server.reload(scraping_itself(server))
    eventually(lambda: query(server, "up"), bool, 15)

    with pytest.raises(ClusterError, match=r"(?s)rejects the configuration.*no_such_field"):
        server.reload("no_such_field: 1")


def test_a_configuration_that_cannot_start_is_an_error_with_the_log(prometheus: Make) -> None:
    server = prometheus()
    with pytest.raises(ClusterError, match="no_such_field"):
        server.start("no_such_field: 1")

    assert not server.running
    server.start()
    assert server.running


def test_it_starts_on_history_older_than_the_default_retention(
    prometheus: Make, tool: Callable[[str], Path], tmp_path: Path
) -> None:
    """promtool's blocks of 20 days ago survive the start; Prometheus' own 15 days would delete them."""
    then = int(time.time()) - 20 * 86_400
    samples = "".join(f"demand {value} {then + 15 * value}\n" for value in range(10))
    (tmp_path / "history.om").write_text(f"# TYPE demand gauge\n{samples}# EOF\n")
    data = tmp_path / "data"
    command = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "history.om"), str(data)]
    subprocess.run(command, check=True, capture_output=True, env=loopback_environment())

    server = prometheus()
    server.start(data_dir=data)

    assert [float(found["value"][1]) for found in query(server, "demand", time=str(then + 15 * 9))] == [9.0]


def test_servers_side_by_side_do_not_share_data(prometheus: Make) -> None:
    first, second = prometheus(), prometheus()
    first.start(scraping_itself(first))
    second.start()
    eventually(lambda: query(first, "up"), bool, 15)

    assert first.url != second.url
    assert query(second, "up") == []
