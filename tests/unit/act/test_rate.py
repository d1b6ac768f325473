import pytest

from kcloud_autoscale.act.rate import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now_seconds = 100.0

    def __call__(self) -> float:
        return self.now_seconds

    async def sleep(self, seconds: float) -> None:
        self.now_seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(clock: Clock) -> TokenBucket:
    return TokenBucket(20.0, 40, 10, clock, clock.sleep)


async def test_forty_urgent_writes_go_at_once_and_the_next_twenty_take_a_second(bucket: TokenBucket, clock: Clock):
    for _ in range(40):
        await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(100.0)
    for _ in range(20):
        await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(101.0, abs=2e-3)


async def test_other_writes_leave_ten_tokens_for_scaling(bucket: TokenBucket, clock: Clock):
    for _ in range(30):
        await bucket.take()
    assert clock.now_seconds == pytest.approx(100.0)
    await bucket.take()  # 10 left: it needs an 11th, 1/20 s away
    assert clock.now_seconds == pytest.approx(100.05, abs=2e-3)
    await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(100.05, abs=2e-3)


async def test_everyone_waits_as_long_as_the_server_asks(bucket: TokenBucket, clock: Clock):
    bucket.pause(3.0)
    await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(103.05, abs=2e-3)  # 3 s, then 1/20 s for the token itself


async def test_no_request_to_wait_costs_nothing(bucket: TokenBucket, clock: Clock):
    bucket.pause(0.0)
    await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(100.0)
