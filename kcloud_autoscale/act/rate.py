"""The budget of writes: as many a second as the API server bears, scaling before what is only told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

# While scaling takes every token there is, this share of them is kept for statuses that wait: one of twenty, so that
# a thousand statuses neither hold up a scale-up nor wait for ever.
STATUS_SHARE = 0.05
# However overloaded the API server is, one write a second is tried.
LEAST_RATE_PER_SECOND = 1.0
# Eight writes under way when the server tires are refused eight times for one overload.
SLOWED_FOR_SECONDS = 1.0
# From half of the rate back to the whole of it in ten seconds of writes that go well.
REGAINED_PER_SECOND = 0.05
# A proxy may ask for an hour; what is not written within a minute is asked again.
LONGEST_PAUSE_SECONDS = 60.0


class TokenBucket:
    """20 writes a second at most, 40 at once after a quiet time; the last ten tokens are for scaling.

    The rate follows the API server as TCP follows a network: an answer of 429 halves it, what goes well raises it
    again step by step up to the bound. Tokens are handed out in the order they were asked for.

    Args:
        rate_per_second: The bound: tokens that come back each second while the API server keeps up.
        burst: The most there can be.
        reserve: Tokens that writes which are not urgent leave alone.
        clock: Monotonic seconds.
        sleep: How to wait.
    """

    def __init__(
        self,
        rate_per_second: float = 20.0,
        burst: int = 40,
        reserve: int = 10,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rate_per_second = rate_per_second
        self._bound_per_second = rate_per_second
        self._burst = float(burst)
        self._reserve = self._least_reserve = float(reserve)
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(burst)
        self._shared = 0.0  # of statuses, while they wait
        self._filled_at = self._slowed_at = clock()
        self._slowed_at -= SLOWED_FOR_SECONDS
        self._urgent, self._other = asyncio.Lock(), asyncio.Lock()

    async def take(self, urgent: bool = False) -> None:
        """Wait for a token."""
        async with self._urgent if urgent else self._other:
            while (wait_seconds := self._wait_seconds(urgent)) > 0.0:
                # A wait computed to the last bit ends a rounding error early and spins: a millisecond is the least.
                await self._sleep(max(0.001, wait_seconds))
            if urgent or self._tokens >= self._reserve + 1.0:
                self._tokens -= 1.0
            else:
                self._shared -= 1.0

    def expect(self, writes: int) -> None:
        """So many urgent writes are still to come: the others leave them all the tokens but their share."""
        self._reserve = min(self._burst, max(self._least_reserve, float(writes)))

    def went_well(self) -> None:
        """The API server took a write: a little more a second, up to the bound."""
        more = REGAINED_PER_SECOND * self._bound_per_second / self.rate_per_second
        self._fill()
        self.rate_per_second = min(self._bound_per_second, self.rate_per_second + more)

    def slow_down(self, retry_after_seconds: float) -> None:
        """The API server is overloaded: half as many a second, and none at all for as long as it asks."""
        self._fill()
        now = self._clock()
        if now - self._slowed_at >= SLOWED_FOR_SECONDS:
            self._slowed_at = now
            self.rate_per_second = max(min(LEAST_RATE_PER_SECOND, self._bound_per_second), self.rate_per_second / 2.0)
        if retry_after_seconds > 0.0:
            self._tokens = self._shared = 0.0
            self._filled_at = max(self._filled_at, now + min(retry_after_seconds, LONGEST_PAUSE_SECONDS))

    def _fill(self) -> None:
        now = self._clock()
        gained = max(0.0, now - self._filled_at) * self.rate_per_second
        self._filled_at = max(self._filled_at, now)
        shared = min(1.0, self._shared + gained * STATUS_SHARE) if self._other.locked() else self._shared
        self._tokens = min(self._burst, self._tokens + gained - (shared - self._shared))
        self._shared = shared

    def _wait_seconds(self, urgent: bool) -> float:
        """Until there is a token; 0 when there is one."""
        self._fill()
        floor = 0.0 if urgent else self._reserve
        short = floor + 1.0 - self._tokens
        if not urgent:
            short = min(short, (1.0 - self._shared) / STATUS_SHARE)
        paused = max(0.0, self._filled_at - self._clock())
        return paused + short / self.rate_per_second if short > 0.0 else 0.0
