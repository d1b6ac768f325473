"""A token bucket for writes, with a reserve that only urgent ones may use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class TokenBucket:
    """20 writes a second on average, 40 at once; the last ten tokens are for scaling.

    Status and Events wait while fewer than ``reserve`` tokens are left, so a thousand status writes never make a
    scale-up wait. A server that answers 429 is obeyed by everyone: ``pause``.

    Args:
        rate_per_second: Tokens that come back each second.
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
        self._rate_per_second = rate_per_second
        self._burst = float(burst)
        self._reserve = float(reserve)
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(burst)
        self._filled_at = clock()

    async def take(self, urgent: bool = False) -> None:
        """Wait for a token."""
        floor = 0.0 if urgent else self._reserve
        while (short := self._shortfall(floor)) > 0.0:
            # A wait computed to the last bit ends a rounding error early and spins: a millisecond is the least.
            await self._sleep(max(0.001, short / self._rate_per_second))
        self._tokens -= 1.0

    def pause(self, seconds: float) -> None:
        """Nobody writes for this long: the bucket is emptied below zero by what will come back meanwhile."""
        if seconds <= 0.0:
            return
        self._shortfall(0.0)
        self._tokens = min(self._tokens, -self._rate_per_second * seconds)

    def _shortfall(self, floor: float) -> float:
        """Tokens missing until one can be taken with ``floor`` left; 0 when there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate_per_second)
        self._filled_at = now
        return max(0.0, floor + 1.0 - self._tokens)
