from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from kcloud_autoscale.cli.demand_source import from_prometheus
from kcloud_autoscale.cli.main import main
from kcloud_autoscale.domain.errors import ConfigError, ObservationError

STEP = 60.0
NOW = 1_800_000_030.0  # half a step past a whole one


class Server:
    """A server that answers range queries with one value per step: the minute of the day, over 10."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.series = 1
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, urlsplit(self.path).query)

            def do_POST(self) -> None:
                outer.answer(self, self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, form: str) -> None:
        query = {name: values[0] for name, values in parse_qs(form).items()}
        self.asked.append(query)
        start, end = float(query["start"]), float(query["end"])
        times = np.arange(start, end + 1.0, STEP)
        values = [[at, "NaN" if at % 6_000 == 0 else f"{at % 86_400 / 600:g}"] for at in times.tolist()]
        result = [{"metric": {"pod": f"p{i}"} if self.series > 1 else {}, "values": values} for i in range(self.series)]
        body: dict[str, Any] = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        if self.status != 200:
            body = {"status": "error", "errorType": "bad_data", "error": "parse error"}
        text = json.dumps(body).encode()
        handler.send_response(self.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_the_past_of_a_prometheus_is_a_trace(server: Server):
    trace = from_prometheus(server.url, "sum(x)", 1.0, None, NOW)
    assert (len(trace.demand), trace.step_seconds) == (1_440, 60.0)
    assert trace.start_seconds == 1_800_000_000.0 - 86_400.0
    # The value at the end of the last whole step belongs to that step: 1,800,000,000 is 28,800 s into its day.
    assert trace.demand[-2] == pytest.approx((28_800.0 - 60.0) / 600.0)
    assert math.isnan(trace.demand[-1])  # 1,800,000,000 is a multiple of 6,000: unknown, not zero
    # One in 100 minutes is; of 1,440 minutes that end with one, 15 are.
    assert trace.repairs == ("15 of 1440 steps have no value and are unknown",)


def test_more_points_than_a_query_gives_are_asked_for_in_parts(server: Server):
    trace = from_prometheus(server.url, "x", 10.0, 60.0, NOW)
    assert len(trace.demand) == 14_400
    assert len(server.asked) == 2
    assert np.isfinite(trace.demand).mean() > 0.98


def test_a_value_stands_no_longer_than_it_does_for_the_operator(server: Server):
    from_prometheus(server.url, "x", 10.0, 60.0, NOW)
    # Prometheus by itself would repeat it for 300 s into a gap.
    assert [float(query["lookback_delta"]) for query in server.asked] == [180.0, 180.0]


def test_no_series_and_several_series_are_refused(server: Server):
    server.series = 2
    with pytest.raises(ConfigError, match=r"the query gives 2 series, one is needed: .*p0.*p1"):
        from_prometheus(server.url, "x", 0.1, None, NOW)
    server.series = 0
    with pytest.raises(ConfigError, match=r"the query gives no series in the last 0\.1 days: x"):
        from_prometheus(server.url, "x", 0.1, None, NOW)


def test_a_backtest_takes_every_series_and_names_it_by_its_labels(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    server.series = 2
    out = tmp_path / "out.csv"
    arguments = ["backtest", "--prometheus", server.url, "--query", "x", "--days", "0.5", "--horizon-seconds", "300"]
    assert main([*arguments, "--models", "last-value", "--step-size", "60", "--out", str(out)]) == 0
    assert set(pd.read_csv(out)["unique_id"]) == {'{pod="p0"}', '{pod="p1"}'}
    server.series = 1
    assert main([*arguments, "--models", "last-value", "--step-size", "60", "--out", str(out)]) == 0
    assert set(pd.read_csv(out)["unique_id"]) == {"x"}  # without labels the query is its name
    assert main(["backtest", "--prometheus", server.url]) == 2
    assert "--prometheus needs --query" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("days", "step_seconds", "message"),
    [
        (14.0, 0.001, r"x: steps of 0\.001 s, must be at least 1 s"),
        (30_000.0, 3_600.0, "30000 days reach back before 1970"),
        (1e308, 60.0, "days hold inf steps of 60 s, at most"),
        (400.0, 1.0, "400 days hold 34560000 steps of 1 s, at most 20000000 can be used"),
        (0.5, 1e6, r"0\.5 days hold 0 steps of 1e\+06 s, at least 1 is needed"),
    ],
)
def test_steps_and_days_beyond_the_bounds_are_refused(server: Server, days: float, step_seconds: float, message: str):
    with pytest.raises(ConfigError, match=message):
        from_prometheus(server.url, "x", days, step_seconds, NOW)
    assert server.asked == []


def test_a_refusal_names_the_query(server: Server):
    server.status = 400
    with pytest.raises(ObservationError, match="sum\\(oops"):
        from_prometheus(server.url, "sum(oops", 0.1, None, NOW)


def test_the_command_replays_a_prometheus(server: Server, capsys: pytest.CaptureFixture[str]):
    arguments = ["simulate", "--prometheus", server.url, "--query", "x", "--days", "0.5", "--policy", "hpa,oracle"]
    assert main([*arguments, "--capacity-per-replica", "10", "--startup-seconds", "120"]) == 0
    out = capsys.readouterr()
    assert "oracle" in out.out
    assert main([*arguments[:3], "--capacity-per-replica", "10", "--startup-seconds", "120"]) == 2
    assert "--prometheus needs --query" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--query", "--days", "--prometheus-token-file"])
@pytest.mark.parametrize(
    "command",
    [
        ["simulate", "--trace", "demand.csv", "--capacity-per-replica", "10", "--startup-seconds", "120"],
        ["backtest", "demand.csv", "--horizon-seconds", "300"],
    ],
    ids=["simulate", "backtest"],
)
def test_a_question_to_prometheus_beside_a_file_is_refused(
    command: list[str], option: str, capsys: pytest.CaptureFixture[str]
):
    assert main([*command, option, "7"]) == 2
    assert f"{option} 7" in capsys.readouterr().err


OPTIMIZER = """
apiVersion: kcloud.io/v1alpha1
kind: WorkloadOptimizer
metadata:
  name: translate
spec:
  workloadType: serving
  resources: {gpu: 1}
  costConstraints: {maxCostPerHour: 24}
  autoScaling:
    minReplicas: 3
    maxReplicas: 12
    capacityPerReplica: 10
    leadTimeSeconds: 120
    metrics:
    - type: gpu
      threshold: 80
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    trace, optimizer = tmp_path / "trace.csv", tmp_path / "optimizer.yaml"
    trace.write_text("t_seconds,rps\n" + "\n".join(f"{60 * i},{5 + i / 2}" for i in range(200)))
    optimizer.write_text(OPTIMIZER)
    return str(trace), str(optimizer)


def decided(path: Path) -> list[int]:
    return [int(line.split(",")[2]) for line in path.read_text().splitlines()[1:]]


def test_an_optimizer_brings_bounds_capacity_start_up_and_caps(files: tuple[str, str], tmp_path: Path):
    trace, optimizer = files
    out = tmp_path / "out.csv"
    arguments = ["simulate", "--trace", trace, "--optimizer", optimizer, "--policy", "predictive"]
    assert main([*arguments, "--decisions", str(out), "--usd-per-replica-hour", "3"]) == 0
    # At least 3; 104/s would need 11, but 24 $/h pay for 8.
    assert min(decided(out)) == 3
    assert max(decided(out)) == 8
    assert main([*arguments, "--decisions", str(out), "--usd-per-replica-hour", "1"]) == 0
    assert max(decided(out)) in (11, 12)


def test_a_cost_cap_without_a_price_is_refused(files: tuple[str, str], capsys: pytest.CaptureFixture[str]):
    trace, optimizer = files
    assert main(["simulate", "--trace", trace, "--optimizer", optimizer]) == 2
    assert "needs --usd-per-replica-hour" in capsys.readouterr().err


def test_what_the_optimizer_does_not_say_is_asked_for(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    trace, _ = files
    assert main(["simulate", "--trace", trace, "--startup-seconds", "60"]) == 2
    assert "--capacity-per-replica is needed" in capsys.readouterr().err
    assert main(["simulate", "--trace", trace, "--capacity-per-replica", "10"]) == 2
    assert "--startup-seconds is needed" in capsys.readouterr().err
    two = tmp_path / "two.yaml"
    two.write_text(OPTIMIZER + "---" + OPTIMIZER.replace("translate", "other"))
    assert main(["simulate", "--trace", trace, "--optimizer", str(two)]) == 2
    assert "one WorkloadOptimizer is needed, there are 2" in capsys.readouterr().err


def test_a_faulty_optimizer_is_named_as_validate_does(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = tmp_path / "broken.yaml"
    broken.write_text(OPTIMIZER.replace("minReplicas: 3", "minReplicas: 30"))
    assert main(["simulate", "--trace", files[0], "--optimizer", str(broken)]) == 2
    assert "minReplicas" in capsys.readouterr().err
