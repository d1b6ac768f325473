"""The past as it would have been measured, and the present that goes on from it."""

from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hack.load.demand import DemandShape, Gap, morning_ramp
from hack.load.exporter import Exporter
from hack.load.history import HistoryError, all_tracks, fill, write_blocks, write_openmetrics
from hack.load.live import LiveService, Pod
from hack.load.past import Past, PastPlan, Track, replay
from hack.load.remote_write import RemoteWriteError, encode_samples, encode_series, snappy_literal
from hack.load.service import Node, Service, series

NOW = 1_795_485_600.0
SERVICE = Service("demo", "llm")
STEADY = DemandShape(level_per_second=12.0, daily_fraction=0.0, weekend_fraction=1.0, noise_fraction=0.0)
HOUR = 3600.0


def past(demand: DemandShape = STEADY, hours: float = 2.0, until: float = NOW, living: tuple[Pod, ...] = ()) -> Past:
    return replay(SERVICE, demand, PastPlan.before(NOW, days=hours / 24), until, living)


def by_name(tracks: list[Track], metric: str) -> list[Track]:
    return [track for track in tracks if track.series.metric == metric]


def test_replicas_follow_demand_with_the_lag_of_a_reactive_scaler() -> None:
    ramp_at = NOW - HOUR
    replayed = past(morning_ramp(ramp_at, level_per_second=11.0))
    ready = dict(zip((replayed.times_seconds - ramp_at).tolist(), replayed.flow.ready.tolist(), strict=True))
    assert ready[0.0] == 2  # 12/s or so over 7
    assert ready[45.0] == 2  # the wave is up, what was ordered is still starting
    assert ready[105.0] >= 12  # 85/s or so over 7
    assert ready[105.0 + 1500] >= 12  # kept for half an hour
    assert ready[105.0 + 2100] == 2


def test_replaying_further_repeats_what_was() -> None:
    """Blocks are written at one instant, the rest is filled at a later one: they must be of one piece."""
    shape = morning_ramp(NOW - HOUR)
    early = {track.series: track for track in past(shape).tracks()}
    late = {track.series: track.between(0, NOW + 1) for track in past(shape, until=NOW + 60).tracks()}
    assert early.keys() <= late.keys()
    for key, track in early.items():
        assert (late[key].times_seconds == track.times_seconds).all(), key
        assert (late[key].values == track.values).all(), key


def test_counters_count_what_arrived() -> None:
    counted = by_name(list(past().tracks()), "istio_requests_total")
    # 12/s for two hours, all let in.
    assert {dict(track.series.labels)["response_code"]: track.values[-1] for track in counted} == pytest.approx(
        {"200": 12 * 7200, "503": 0}
    )
    finished = by_name(list(past().tracks()), "vllm:request_success_total")
    assert [track.values[-1] for track in finished] == pytest.approx([6 * 7200, 6 * 7200])  # shared by two


def test_every_counter_grows_and_every_histogram_is_cumulative() -> None:
    tracks = list(past(morning_ramp(NOW - HOUR)).tracks())
    counters = [track for track in tracks if track.series.metric.endswith(("_total", "_bucket", "_count", "_sum"))]
    assert len(counters) > 100
    assert all((np.diff(track.values) >= 0).all() for track in counters)
    pod = dict(by_name(tracks, "vllm:request_success_total")[0].series.labels)["pod"]
    buckets = [
        (float(dict(track.series.labels)["le"]), track.values)
        for track in by_name(tracks, "vllm:e2e_request_latency_seconds_bucket")
        if dict(track.series.labels)["pod"] == pod
    ]
    shares = np.array([values for _, values in sorted(buckets, key=lambda bucket: bucket[0])])
    assert (np.diff(shares, axis=0) >= -1e-3).all()


def test_a_pod_that_comes_back_is_another_pod() -> None:
    replayed = past(morning_ramp(NOW - HOUR), hours=50)  # the wave was there yesterday as well
    third = sorted({life.pod.name for life in replayed.lives if life.first > 100})
    assert len(third) == len([life for life in replayed.lives if life.first > 100])
    assert all(name.startswith("llm-") for name in third)


def test_detail_is_kept_for_the_last_day_only() -> None:
    plan = PastPlan.before(NOW, days=2, detail_days=0.5)
    tracks = list(replay(SERVICE, STEADY, plan, NOW).tracks())
    (first, *_) = by_name(tracks, "DCGM_FI_DEV_POWER_USAGE")
    (whole, *_) = by_name(tracks, "vllm:num_requests_running")
    assert NOW - first.times_seconds[0] == pytest.approx(43_200, abs=15)
    assert NOW - whole.times_seconds[0] == pytest.approx(2 * 86_400, abs=15)


def test_a_gap_leaves_no_samples() -> None:
    gap = Gap(NOW - HOUR, 600.0)
    shape = DemandShape(
        level_per_second=12.0, daily_fraction=0.0, noise_fraction=0.0, weekend_fraction=1.0, gaps=(gap,)
    )
    for track in past(shape).tracks():
        inside = (track.times_seconds > NOW - HOUR) & (track.times_seconds <= NOW - HOUR + 600)
        assert not inside.any()
        assert len(track.values) == len(track.times_seconds) == 480 - 40


def test_the_present_goes_on_where_the_past_ends() -> None:
    living = (Pod("llm-abc-x1", "gpu-0", True), Pod("llm-abc-x2", "gpu-1", True))
    replayed = past(living=living)
    last = {track.series: float(track.values[-1]) for track in replayed.tracks() if track.times_seconds[-1] == NOW}
    live = replayed.resume()
    now = live.samples()
    assert now == last  # the same series, the same values, to the last digit
    live.follow(living)
    live.advance(NOW + 10)
    later = live.samples()
    assert later.keys() == last.keys()
    grown = {key: later[key] - last[key] for key in last if key.metric == "istio_requests_total"}
    assert sorted(grown.values()) == pytest.approx([0, 120])  # 12/s for 10 s
    assert all(later[key] >= last[key] for key in last if key.metric.endswith(("_total", "_bucket", "_count", "_sum")))


def test_a_pod_that_leaves_takes_its_counters_and_a_new_one_starts_at_nothing() -> None:
    live = LiveService(SERVICE, STEADY, NOW)
    live.follow([Pod("a", "n", True), Pod("b", "n", True)])
    live.advance(NOW + 10)
    live.follow([Pod("b", "n", True), Pod("c", "n", False)])
    live.advance(NOW + 20)
    finished = {dict(key.labels)["pod"]: value for key, value in live.samples().items() if "success" in key.metric}
    assert finished == pytest.approx({"b": 60 + 100})  # 6/s, then all that one replica can do of the 12/s
    watts = {dict(k.labels)["pod"]: v for k, v in live.samples().items() if k.metric == "DCGM_FI_DEV_POWER_USAGE"}
    assert watts == {"b": 400.0, "c": 60.0}
    assert live.backlog == pytest.approx(20)
    live.follow([Pod("a", "n", True)])  # the name of before, as from a StatefulSet: a new process all the same
    live.advance(NOW + 21)
    finished = {dict(key.labels)["pod"]: value for key, value in live.samples().items() if "success" in key.metric}
    assert finished == pytest.approx({"a": 10})


def test_time_passes_alike_in_one_go_and_in_pieces() -> None:
    whole, pieces = (LiveService(SERVICE, morning_ramp(NOW), NOW) for _ in range(2))
    for live in (whole, pieces):
        live.follow([Pod("a", "n", True)])
    whole.advance(NOW + 60)
    for second in range(1, 61):
        pieces.advance(NOW + second)
    assert whole.samples() == pieces.samples()


def test_a_long_sleep_is_not_caught_up_with() -> None:
    live = LiveService(SERVICE, STEADY, NOW)
    live.follow([Pod("a", "n", True)])
    live.advance(NOW + 86_400)
    assert sum(live.front_door.values()) == pytest.approx(12 * 120)


def test_nothing_is_exported_in_a_gap() -> None:
    shape = DemandShape(gaps=(Gap(NOW + 5, 10.0),))
    live = LiveService(SERVICE, shape, NOW)
    clock = iter([NOW + 1, NOW + 10, NOW + 20])
    exporter = Exporter([live], {"n": Node("n")}, clock=lambda: next(clock))
    told = [{key.metric for key in exporter.collect()} for _ in range(3)]
    assert ["istio_requests_total" in metrics for metrics in told] == [True, False, True]
    assert all("node_total_hourly_cost" in metrics for metrics in told)


def test_openmetrics_text(tmp_path: Path) -> None:
    track = Track(series("up_total", pod='a"b'), np.array([10.0, 25.0, 40.0]), np.array([1.0, 2.5, 3.0]))
    file = tmp_path / "history.om"
    assert write_openmetrics(file, [track], until_seconds=40.0) == 2
    assert file.read_text() == 'up_total{pod="a\\"b"} 1.0 10.000\nup_total{pod="a\\"b"} 2.5 25.000\n# EOF\n'


def test_what_promtool_says_is_passed_on(tmp_path: Path) -> None:
    promtool = tmp_path / "promtool"
    promtool.write_text("#!/bin/sh\necho 'block too large' >&2\nexit 1\n")
    promtool.chmod(0o755)
    with pytest.raises(HistoryError, match="block too large"):
        write_blocks(tmp_path / "data", past().tracks(), NOW, promtool)
    assert list(tmp_path.glob("*/*.om")) == []  # the text is gone


async def test_what_prometheus_says_is_passed_on() -> None:
    received: list[bytes] = []

    async def write(request: web.Request) -> web.Response:
        received.append(await request.read())
        return web.Response(status=400, text="out of bounds")

    app = web.Application()
    app.router.add_post("/api/v1/write", write)
    async with TestServer(app) as server:
        with pytest.raises(RemoteWriteError, match="400: out of bounds"):
            await fill(str(server.make_url("")), past().tracks(), NOW - 60)
    assert len(received) == 1


def test_node_prices_are_part_of_the_history() -> None:
    node = Node("gpu-0", gpus=8, gpu_usd_per_hour=3.43, cpus=96, cpu_usd_per_hour=0.01)
    tracks = by_name(list(all_tracks([past()], [node])), "node_total_hourly_cost")
    assert [track.values[-1] for track in tracks] == pytest.approx([8 * 3.43 + 0.96])


def test_remote_write_bytes_by_hand() -> None:
    # 1.0 is 3ff0000000000000; 2^40 ms is 1, five empty groups below it: 80 80 80 80 80 20.
    sample = encode_samples(np.array([2**40 / 1000]), np.array([1.0]))
    assert sample.hex(" ") == "12 10 09 00 00 00 00 00 00 f0 3f 10 80 80 80 80 80 20"
    track = Track(series("up", b="2", a="1"), np.array([2**40 / 1000]), np.array([1.0]))
    labels = b"\n\x0e\n\x08__name__\x12\x02up" + b"\n\x06\n\x01a\x12\x011" + b"\n\x06\n\x01b\x12\x012"
    assert encode_series(track) == labels + sample


def test_remote_write_refuses_a_time_it_cannot_write() -> None:
    with pytest.raises(ValueError, match="1971"):
        encode_samples(np.array([0.0]), np.array([1.0]))
    assert encode_samples(np.array([]), np.array([])) == b""


def test_snappy_block_of_one_literal() -> None:
    # Length 300 as a varint: ac 02. Literal tag 63 << 2, then length − 1 = 299 in four bytes.
    assert snappy_literal(b"x" * 300) == b"\xac\x02\xfc\x2b\x01\x00\x00" + b"x" * 300
