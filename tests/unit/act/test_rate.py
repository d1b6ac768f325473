import asyncio
import heapq

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


class TurnsOfTime:
    """Time that passes only while all tasks sleep: to the end of the shortest sleep."""

    def __init__(self) -> None:
        self.now_seconds = 0.0
        self._sleeps: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeps, (self.now_seconds + seconds, id(waiting), waiting))
        await waiting

    async def pass_until(self, end_seconds: float) -> None:
        while True:
            for _ in range(10):
                await asyncio.sleep(0)  # whoever can go on does
            if not self._sleeps or self._sleeps[0][0] > end_seconds:
                return
            self.now_seconds, _, waiting = heapq.heappop(self._sleeps)
            if not waiting.done():
                waiting.set_result(None)


async def test_statuses_get_a_twentieth_while_scaling_takes_all_there_is():
    time = TurnsOfTime()
    bucket, taken = TokenBucket(20.0, 1, 0, lambda: time.now_seconds, time.sleep), {True: 0, False: 0}

    async def work(urgent: bool) -> None:
        while True:
            await bucket.take(urgent)
            taken[urgent] += 1

    bucket.expect(1000)
    tasks = [asyncio.create_task(work(urgent)) for urgent in (True, True, False)]
    await time.pass_until(100.0)
    for task in tasks:
        task.cancel()
    # 20 writes a second for 100 s.
    assert taken[False] == pytest.approx(100, abs=3)
    assert taken[True] == pytest.approx(1900, rel=0.03)
