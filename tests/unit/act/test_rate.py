import asyncio

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
    assert clock.now_seconds == pytest.approx(100.05, abs=4e-3)
    await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(100.05, abs=4e-3)


async def test_everyone_waits_as_long_as_the_server_asks(bucket: TokenBucket, clock: Clock):
    bucket.slow_down(3.0)
    await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(103.1, abs=4e-3)  # 3 s, then a token at half of 20 a second


async def test_an_hour_is_not_waited(bucket: TokenBucket, clock: Clock):
    bucket.slow_down(3600.0)
    await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(160.1, abs=4e-3)


async def test_one_overload_halves_the_rate_once_and_good_writes_regain_it(bucket: TokenBucket, clock: Clock):
    for _ in range(8):
        bucket.slow_down(0.0)
    assert bucket.rate_per_second == 10.0
    clock.now_seconds += 1.0
    bucket.slow_down(0.0)
    assert bucket.rate_per_second == 5.0
    bucket.went_well()
    assert bucket.rate_per_second == pytest.approx(5.2)  # a second of five of them: one more
    for _ in range(1000):
        bucket.went_well()
    assert bucket.rate_per_second == 20.0
    for _ in range(100):
        clock.now_seconds += 1.0
        bucket.slow_down(0.0)
    assert bucket.rate_per_second == 1.0


async def test_what_is_still_to_be_scaled_keeps_the_tokens(bucket: TokenBucket, clock: Clock):
    bucket.expect(500)
    await bucket.take()  # 40 tokens are there, all of them for scaling: a status waits for its share of 1/20
    assert clock.now_seconds == pytest.approx(101.0, abs=4e-3)
    for _ in range(40):
        await bucket.take(urgent=True)
    assert clock.now_seconds == pytest.approx(101.0, abs=4e-3)
    bucket.expect(0)
    clock.now_seconds += 2.0
    for _ in range(30):
        await bucket.take()
    assert clock.now_seconds == pytest.approx(103.0, abs=4e-3)


async def test_statuses_get_a_twentieth_while_scaling_takes_all_there_is():
    # In real time, since both wait at once: 400 writes a second for half a second are 190 and 10.
    bucket, taken = TokenBucket(400.0, 1, 0), {True: 0, False: 0}

    async def work(urgent: bool) -> None:
        while True:
            await bucket.take(urgent)
            taken[urgent] += 1

    bucket.expect(1000)
    tasks = [asyncio.create_task(work(urgent)) for urgent in (True, True, False)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    assert taken[False] > 0
    assert taken[True] > 8 * taken[False]
