"""Answers no sound Prometheus gives: each becomes an error that names the query and the cause, in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.prometheus_response import PrometheusError, ResponseBound, TooLargeError

pytestmark = pytest.mark.integration

QUERY = "sum(rate(requests_total[1m]))"


def success(result: Any, kind: str = "vector", **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


ONE = success([{"metric": {}, "value": [1.0, "5"]}])


@dataclass
class Scripted:
    """A server that says what it is told: status, headers and body per request; the last answer repeats."""

    answers: list[tuple[int, dict[str, str], bytes]]
    requests: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    drip_seconds: float = 0.0

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                script.requests.append((self.command, self.path, dict(self.headers), form))
                status, headers, body = script.answers[min(len(script.requests), len(script.answers)) - 1]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    script.write(self.wfile.write, body)

            do_GET = do_POST  # noqa: N815 - the names are http.server's

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()

    def write(self, send: Callable[[bytes], Any], body: bytes) -> None:
        if not self.drip_seconds:
            send(body)
            return
        for letter in body:
            send(bytes([letter]))
            time.sleep(self.drip_seconds)


async def ask(script: Scripted, timeout_seconds: float = 5.0, **settings: Any) -> float:
    with script.serving() as url:
        client = Prometheus(PrometheusSettings(url, timeout_seconds=timeout_seconds, **settings))
        try:
            (point,) = await client.query(QUERY, 1000.0)
            return point.value
        finally:
            client.close()


async def refused(script: Scripted, timeout_seconds: float = 5.0) -> str:
    with pytest.raises(PrometheusError) as error:
        await ask(script, timeout_seconds)
    assert QUERY in str(error.value)
    return str(error.value)


def says(body: bytes, status: int = 200, **headers: str) -> Scripted:
    return Scripted([(status, headers, body)])


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"<html><body>Sign in</body></html>", "the answer is HTML: <html>"),
        (ONE[:-20], "the answer is no JSON"),
        (b"", "it is empty"),
        (b"[1, 2]", "JSON, but no object"),
        (b'{"status": "success"}', "no data.result"),
        (b'{"status":"error","errorType":"execution","error":"out of memory"}', "status 'error': execution: out of"),
        (success([], "streams"), "the query gives a streams"),
        (success([{"metric": {}}]), "a series without a readable value"),
        (success([{"metric": {}, "value": [1, "five"]}]), "a series without a readable value"),
        (success([{"value": [1, "5"]}]), "a series has no labels"),
        (success("none"), "data.result is no list of series"),
        (success([], warnings=["store gateway 3 timed out"]), "partial answer: store gateway 3 timed out"),
        (b'{"isPartial": true, ' + success([])[1:], "partial answer: isPartial is true"),
        (b'{"a":' * 100_000, "the answer is no JSON"),
    ],
)
async def test_garbage_is_refused_with_its_cause(body: bytes, cause: str) -> None:
    assert cause in await refused(says(body))


async def test_remarks_of_the_query_engine_are_no_partial_answer() -> None:
    body = success([{"metric": {}, "value": [1, "5"]}], warnings=["PromQL info: metric might not be a counter"])
    assert await ask(says(body)) == 5.0


async def test_a_bad_query_is_refused_once_and_in_the_words_of_the_server() -> None:
    script = says(b'{"status":"error","errorType":"bad_data","error":"parse error at char 7"}', 400)
    assert "HTTP 400: bad_data: parse error at char 7" in await refused(script)
    assert len(script.requests) == 1


async def test_a_passing_failure_is_asked_again() -> None:
    script = Scripted([(503, {}, b"overloaded"), (200, {}, ONE)])
    assert await ask(script) == 5.0
    assert len(script.requests) == 2


async def test_a_lasting_failure_ends_after_three_attempts() -> None:
    script = says(b"overloaded", 503)
    assert "HTTP 503: overloaded" in await refused(script)
    assert len(script.requests) == 3


async def test_where_nobody_listens_the_query_is_not_at_fault() -> None:
    client = Prometheus(PrometheusSettings("http://127.0.0.1:9", timeout_seconds=2.0))
    with pytest.raises(PrometheusError) as refusal:
        await client.query(QUERY, 0.0)
    client.close()
    assert "does not answer" in str(refusal.value)
    assert QUERY not in str(refusal.value)


async def test_redirects_are_not_followed() -> None:
    elsewhere = Scripted([(200, {}, ONE)])
    with elsewhere.serving() as target:
        message = await refused(says(b"", 302, Location=f"{target}/api/v1/query"))
    assert f"redirects to {target}/api/v1/query, which is not followed" in message
    assert elsewhere.requests == []


async def test_a_body_without_end_is_cut_off() -> None:
    """Of 64 MiB no more than the bound is read, and the memory of it is the bound's."""
    script = says(b" " * 2**26)
    with script.serving() as url:
        client = Prometheus(PrometheusSettings(url, timeout_seconds=5.0))
        tracemalloc.start()
        with pytest.raises(TooLargeError, match="larger than 64 KiB"):
            await client.query(QUERY, 0.0, bound=ResponseBound(10, 64 * 1024))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        client.close()
    assert peak < 4 * 2**20
    assert len(script.requests) == 1


async def test_no_more_series_are_taken_than_were_asked_for() -> None:
    """A server that does not know the parameter `limit` sends them all."""
    series = [{"metric": {"app": f"a{index}"}, "value": [1, "5"]} for index in range(12)]
    with says(success(series)).serving() as url:
        client = Prometheus(PrometheusSettings(url, timeout_seconds=5.0))
        with pytest.raises(TooLargeError, match="more than 11 series"):
            await client.query(QUERY, 0.0, bound=ResponseBound(11))
        assert len(await client.query(QUERY, 0.0, bound=ResponseBound(12))) == 12
        client.close()


async def test_a_connection_that_ends_in_the_middle_of_the_body_is_named() -> None:
    message = await refused(says(ONE, **{"Content-Length": str(len(ONE) + 50)}))
    assert "does not answer" in message
    assert "50 more expected" in message


async def test_a_server_that_stops_in_the_middle_of_the_body_is_given_up_in_time() -> None:
    script = Scripted([(200, {}, b"  ")], drip_seconds=3.0)
    started = time.monotonic()
    assert "timed out" in await refused(script, 1.0)
    assert time.monotonic() - started < 2.5


async def test_a_dripping_body_is_given_up_in_time() -> None:
    started = time.monotonic()
    script = Scripted([(200, {}, b" " * 1000)], drip_seconds=0.05)
    assert "not complete in time" in await refused(script, 1.0)
    assert time.monotonic() - started < 2.0


async def test_a_silent_server_costs_the_timeout_and_no_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Prometheus(PrometheusSettings(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1.0))
        started = time.monotonic()
        answers = await asyncio.gather(*(client.query(QUERY, 0.0) for _ in range(12)), return_exceptions=True)
        client.close()
    # Twelve questions, four threads: the ones in the queue are given up with the rest.
    assert time.monotonic() - started < 3.0
    assert all(isinstance(each, PrometheusError) for each in answers)


async def test_what_the_settings_say_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password stolen\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    script = Scripted([(200, {}, ONE), (200, {}, success([], "matrix"))])
    with script.serving() as url:
        client = Prometheus(PrometheusSettings(f"{url}/prom/", token_file=tmp_path / "token", tenant="team-a"))
        await client.query(QUERY, 1000.5, lookback_seconds=180.0)
        (tmp_path / "token").write_text("second")  # rotated
        await client.query_range(QUERY, 90.5, 100.5, 5.0)
        client.close()

    (method, path, headers, form), (_, range_path, later, range_form) = script.requests
    assert (method, path) == ("POST", "/prom/api/v1/query")
    assert headers["Authorization"] == "Bearer first"
    assert headers["X-Scope-OrgID"] == "team-a"
    assert "time=1000.500" in form
    assert "lookback_delta=180.000" in form
    assert later["Authorization"] == "Bearer second"
    assert range_path == "/prom/api/v1/query_range"
    # Half seconds survive; the client alone would have rounded them.
    assert "start=90.500" in range_form
    assert "end=100.500" in range_form
    assert "lookback_delta" not in range_form


async def test_basic_authentication(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    script = says(ONE)
    assert await ask(script, username="reader", password_file=tmp_path / "password") == 5.0
    assert script.requests[0][2]["Authorization"] == "Basic cmVhZGVyOnNlY3JldA=="


async def test_credentials_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PrometheusError, match="No such file"):
        await ask(says(ONE), token_file=tmp_path / "gone")


async def test_ready_asks_the_endpoint_meant_for_it() -> None:
    for status, expected in ((200, True), (503, False)):
        script = says(b"", status)
        with script.serving() as url:
            client = Prometheus(PrometheusSettings(url))
            assert await client.ready() is expected
            client.close()
        assert script.requests[0][1] == "/-/ready"


async def test_every_query_is_counted() -> None:
    outcomes: list[str] = []
    with Scripted([(200, {}, ONE), (400, {}, b"no")]).serving() as url:
        client = Prometheus(PrometheusSettings(url), lambda outcome, _: outcomes.append(outcome))
        await client.query(QUERY, 0.0)
        with pytest.raises(PrometheusError):
            await client.query(QUERY, 0.0)
        client.close()
    assert outcomes == ["ok", "error"]


async def test_samples_out_of_order_are_refused() -> None:
    body = success([{"metric": {"a": "b"}, "values": [[60, "1"], [0, "1"]]}], "matrix")
    with says(body).serving() as url:
        client = Prometheus(PrometheusSettings(url))
        with pytest.raises(PrometheusError, match="not in order of time"):
            await client.query_range(QUERY, 0.0, 60.0, 60.0)
        client.close()
