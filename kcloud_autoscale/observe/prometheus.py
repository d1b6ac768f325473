"""Prometheus, or anything that speaks its HTTP API, asked from asyncio.

prometheus-api-client (0.7.2) does the asking; what it leaves open is closed here, in the session it sends through:
it has no deadline (a timeout of requests is one of silence: a server that drips a byte a second holds a thread for
ever), follows redirects wherever they lead, reads bodies of any size, sends long queries in the URL even when told
to POST, takes credentials from a ``.netrc``, drops ``warnings`` and ``status`` of an answer, and rounds times to
whole seconds. Its object keeps one requests session, which is not promised to be safe between threads: each worker
thread has its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import requests
from prometheus_api_client import PrometheusConnect
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.observe.prometheus_response import (
    DEFAULT_BOUND,
    Point,
    PrometheusError,
    ResponseBound,
    Row,
    TooLargeError,
    points,
    refusal,
    rows,
    shown,
)

T = TypeVar("T")

MAX_POINTS = 11_000  # per series and range query; Prometheus refuses more
CONNECT_TIMEOUT_SECONDS = 3.0
RETRY_DELAYS_SECONDS = (0.2, 0.8)


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """Where Prometheus is and how to ask it.

    Attributes:
        url: Base address, path prefix included.
        token_file: File with a bearer token, read anew for each request: tokens rotate.
        username: For basic authentication, with ``password_file``.
        password_file: Read like ``token_file``.
        tenant: Sent as ``X-Scope-OrgID`` to Mimir, Cortex or Thanos.
        ca_file: CA certificates instead of the system's.
        timeout_seconds: Longest a query may take, retries included.
        threads: Queries at once. Prometheus itself runs 20 at most by default.
    """

    url: str
    token_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    tenant: str = ""
    ca_file: Path | None = None
    timeout_seconds: float = 30.0
    threads: int = 4


@dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    """One query: how it is sent within so many seconds, how the answer is read, and how much of one."""

    promql: str
    ask: Callable[[PrometheusConnect, float], bytes]
    parse: Callable[[bytes], T]
    bound: ResponseBound = DEFAULT_BOUND


def _ignore(outcome: str, duration_seconds: float) -> None:
    """Nobody counts."""


def _undated(date: str) -> None:
    """Nobody compares clocks."""


class Prometheus:
    """Queries with a deadline, a few at a time.

    Args:
        settings: Of the server.
        answered: Told of each query: ``ok`` or ``error``, and how long it took in seconds.
        dated: Told the ``Date`` of each answer, in a worker thread.
    """

    def __init__(
        self,
        settings: PrometheusSettings,
        answered: Callable[[str, float], None] = _ignore,
        dated: Callable[[str], None] = _undated,
    ) -> None:
        self._settings = settings
        self._answered = answered
        self._dated = dated
        self._local = threading.local()
        self._sessions: list[_Session] = []
        self._pool = ThreadPoolExecutor(settings.threads, "prometheus")
        self._slots = asyncio.Semaphore(settings.threads)

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Point]:
        """Evaluate at one instant.

        Args:
            promql: The query.
            at_seconds: Unix time.
            timeout_seconds: Longest to wait, within that of the settings.
            lookback_seconds: How old a sample may be to stand for its series; the server's own 300 s if None. A
                parameter of Prometheus; stores that do not know it ignore it.
            bound: How much may come back. Its `limit` is kept by Prometheus from 3.0 on; others send everything, of
                which no more than the bound is read.

        Raises:
            TooLargeError: More came.
            PrometheusError: With the query and the cause.
        """
        form = {"time": _time(at_seconds), **_limit(bound), **_lookback(lookback_seconds)}

        def ask(connect: PrometheusConnect, seconds: float) -> bytes:
            result: bytes = connect.custom_query(promql, form, seconds)
            return result

        return await self._ask(_Question(promql, ask, lambda body: points(body, bound.series), bound), timeout_seconds)

    async def query_range(
        self,
        promql: str,
        start_seconds: float,
        end_seconds: float,
        step_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Row]:
        """Evaluate at ``start, start + step, …, end``; at most 11,000 times. ``lookback_seconds`` as for `query`.

        Raises:
            PrometheusError: With the query and the cause.
        """
        steps = round((end_seconds - start_seconds) / step_seconds) + 1
        if steps > MAX_POINTS:
            raise ValueError(f"{steps} points asked for; a range query gives {MAX_POINTS}")

        def ask(connect: PrometheusConnect, seconds: float) -> bytes:
            start, end = datetime.fromtimestamp(start_seconds, UTC), datetime.fromtimestamp(end_seconds, UTC)
            exact = {"start": _time(start_seconds), "end": _time(end_seconds), **_limit(bound)}
            exact |= _lookback(lookback_seconds)
            result: bytes = connect.custom_query_range(promql, start, end, f"{step_seconds:g}", exact, seconds)
            return result

        return await self._ask(_Question(promql, ask, lambda body: rows(body, bound.series), bound), timeout_seconds)

    async def samples(self, selector: str, at_seconds: float, timeout_seconds: float | None = None) -> list[Row]:
        """Stored samples of a range selector, as in ``up[10m]``.

        Raises:
            PrometheusError: With the query and the cause.
        """

        def ask(connect: PrometheusConnect, seconds: float) -> bytes:
            result: bytes = connect.custom_query(selector, {"time": _time(at_seconds)}, seconds)
            return result

        return await self._ask(_Question(selector, ask, rows), timeout_seconds)

    async def ready(self) -> bool:
        """Whether ``/-/ready`` says so within a few seconds."""

        def ask() -> bool:
            url = f"{self._settings.url.rstrip('/')}/-/ready"
            try:
                self._connect()._session.fetch("GET", url, None, 2 * CONNECT_TIMEOUT_SECONDS)
            except ObservationError:
                return False
            return True

        return await asyncio.get_running_loop().run_in_executor(self._pool, ask)

    def close(self) -> None:
        """End the threads; a query under way is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for session in self._sessions:
            session.close()

    async def _ask(self, question: _Question[T], timeout_seconds: float | None) -> T:
        limit = min(self._settings.timeout_seconds, timeout_seconds or self._settings.timeout_seconds)
        deadline = time.monotonic() + limit
        # Waiting for a thread counts: otherwise a cycle that gave up leaves its queue to the next one.
        try:
            async with asyncio.timeout(limit + 0.5), self._slots:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._pool, self._within, question, deadline)
        except TimeoutError as error:
            why = f"no answer within {limit:g} s to {shown(question.promql)}"
            raise PrometheusError(why, transient=True) from error

    def _within(self, question: _Question[T], deadline: float) -> T:
        """In a worker thread: ask, and again after a short wait while the error is a passing one."""
        started = time.monotonic()
        for delay_seconds in (*RETRY_DELAYS_SECONDS, None):
            try:
                connect = self._connect()
                connect._session.most_bytes = question.bound.body_bytes  # the thread's own
                result = question.parse(question.ask(connect, deadline - time.monotonic()))
            except TooLargeError:
                self._answered("error", time.monotonic() - started)
                raise
            except PrometheusError as error:
                left = deadline - time.monotonic()
                if not error.transient or delay_seconds is None or left <= delay_seconds:
                    self._answered("error", time.monotonic() - started)
                    unreachable = isinstance(error, _UnreachableError)
                    message = str(error) if unreachable else f"{error}; query: {shown(question.promql)}"
                    raise PrometheusError(message, error.transient, error.about_query) from error
                time.sleep(delay_seconds)
            else:
                self._answered("ok", time.monotonic() - started)
                return result
        raise AssertionError("the last attempt either returns or raises")

    def _connect(self) -> Any:
        if not hasattr(self._local, "connect"):
            session = _Session(self._settings, self._dated)
            self._sessions.append(session)
            # Retries are ours: the client's would ignore the deadline.
            self._local.connect = PrometheusConnect(
                self._settings.url.rstrip("/"), session=session, retry=Retry(0, redirect=False), method="POST"
            )
        return self._local.connect


class _UnreachableError(PrometheusError):
    """There was no connection: whatever was to be asked, it is not at fault."""


class _Raw:
    """What `PrometheusConnect` makes of an answer is passed through: bytes, parsed by us."""

    status_code = 200

    def __init__(self, body: bytes) -> None:
        self._body = body

    def json(self) -> dict[str, dict[str, bytes]]:
        return {"data": {"result": self._body}}


class _Session(requests.Session):
    """Sends one request: as a form, with a deadline, a limit on the size, no redirects, credentials of the settings."""

    def __init__(self, settings: PrometheusSettings, dated: Callable[[str], None]) -> None:
        super().__init__()
        self._settings = settings
        self._dated = dated
        self.most_bytes = DEFAULT_BOUND.body_bytes
        # Neither proxies nor a .netrc of the environment: the address is the operator's own setting.
        self.trust_env = False
        if settings.ca_file is not None:
            self.verify = str(settings.ca_file)

    def request(self, method: str, url: str, **options: Any) -> Any:  # type: ignore[override]
        return _Raw(self.fetch(method, url, options.get("params"), options["timeout"]))

    def fetch(self, method: str, url: str, form: dict[str, Any] | None, limit_seconds: float) -> bytes:
        """The body of a 200.

        Raises:
            PrometheusError: Anything else.
        """
        deadline = time.monotonic() + limit_seconds
        if limit_seconds <= 0.0:
            raise PrometheusError("no time left to ask", transient=True)
        try:
            with super().request(
                method,
                url,
                data=form,
                headers=self._headers(),
                auth=self._auth(),
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_TIMEOUT_SECONDS, limit_seconds), limit_seconds),
            ) as response:
                self._dated(response.headers.get("Date", ""))
                body = _read(response, deadline, self.most_bytes)
        except (requests.RequestException, HTTPError, OSError) as error:
            kind = _UnreachableError if isinstance(error, requests.ConnectionError) else PrometheusError
            raise kind(f"{url} does not answer: {_cause(error)}", transient=True) from error
        if response.is_redirect:
            raise PrometheusError(f"{url} redirects to {response.headers.get('Location')}, which is not followed")
        if response.status_code != 200:
            raise refusal(response.status_code, body)
        return body

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._settings.tenant:
            headers["X-Scope-OrgID"] = self._settings.tenant
        if self._settings.token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(self._settings.token_file)}"
        return headers

    def _auth(self) -> tuple[str, str] | None:
        if not self._settings.username or self._settings.password_file is None:
            return None
        return self._settings.username, _secret(self._settings.password_file)


def _read(response: requests.Response, deadline: float, most_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    # The connection of an answer that is given up is closed, not read to its end.
    # read1 gives what has come; iter_content would wait for a full piece, and a dripping server never fills one.
    while piece := response.raw.read1(2**18, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            raise TooLargeError(f"the answer is larger than {most_bytes // 1024:,} KiB")
        if time.monotonic() > deadline:
            raise PrometheusError(f"the answer was not complete in time, after {size} bytes", transient=True)
    return b"".join(pieces)


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PrometheusError(f"the credentials in {path} cannot be read: {error.strerror}") from error


def _cause(error: Exception) -> str:
    """The innermost reason: requests wraps it four times."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return shown(str(reason or error))


def _limit(bound: ResponseBound) -> dict[str, str]:
    # One more than may come tells an answer that is cut off from one that just fits.
    return {"limit": str(bound.series + 1)}


def _lookback(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"lookback_delta": f"{seconds:.3f}"}


def _time(at_seconds: float) -> str:
    return f"{at_seconds:.3f}"
