import aiohttp
import pytest

from kcloud_autoscale.operator.health import Health, serve


class Clock:
    now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(cycle_limit_seconds=210.0, watch_limit_seconds=1500.0, clock=clock, leading_since_seconds=0.0)


def test_a_new_leader_has_time_for_its_first_cycle(health: Health, clock: Clock):
    health.watched()
    assert health.unreadiness() == []
    clock.now_seconds = 211.0
    assert health.unreadiness() == ["no fleet cycle has succeeded yet"]
    health.cycled()
    assert health.unreadiness() == []


def test_ready_needs_objects_that_were_seen_lately(health: Health, clock: Clock):
    assert health.unreadiness() == ["our objects have not been seen yet"]
    health.watched()
    health.cycled()
    clock.now_seconds = 1600.0
    assert health.unreadiness() == [
        "our objects have not been seen for 1600 s (limit 1500 s)",
        "no fleet cycle has succeeded for 1600 s (limit 210 s)",
    ]


def test_a_standby_is_ready_without_cycles_but_not_without_word_of_the_lease(health: Health, clock: Clock):
    health.is_leader = lambda: False
    health.leading_since_seconds = None
    health.watched()
    clock.now_seconds = 300.0
    assert health.unreadiness() == []
    health.lease_silence_seconds = lambda: 31.0
    assert health.unreadiness() == ["no word about the Lease for 31 s"]


def test_silent_watches_are_told(health: Health):
    health.watched()
    health.watch_silence_seconds = lambda: 301.0
    assert health.unreadiness() == ["a watch of pods, targets or autoscalers has been silent for 301 s"]


def test_a_blocked_loop_calls_for_a_restart(health: Health):
    health.watched()
    health.lag_seconds = 5.1
    assert health.illness() == ["the event loop lags 5.1 s"]


async def test_probes_and_metrics_answer_on_their_ports(health: Health):
    runner, ports = await serve(health, lambda: b"kcloud_leader 1\n", "127.0.0.1", 0, 0)
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{ports['probe']}/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
            async with session.get(f"http://127.0.0.1:{ports['probe']}/readyz") as answer:
                assert (answer.status, await answer.text()) == (503, "our objects have not been seen yet\n")
            async with session.get(f"http://127.0.0.1:{ports['metrics']}/metrics") as answer:
                assert await answer.text() == "kcloud_leader 1\n"
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    finally:
        await runner.cleanup()
