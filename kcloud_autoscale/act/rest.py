"""Plain requests to the API server: one shared client, a deadline on each, errors that say what was refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from kcloud_autoscale.domain.errors import ActionError

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"

# A request that hangs holds up the cycle; the client itself would wait five minutes.
CONNECT_TIMEOUT_SECONDS = 3.0
REQUEST_TIMEOUT_SECONDS = 10.0


class RequestError(ActionError):
    """The API server refused a request, or never answered it.

    Attributes:
        status: HTTP status; None when there was no answer.
        reason: The server's token (``NotFound``, ``Conflict``, ``Forbidden``), or ``NoAnswer``.
        retry_after_seconds: What the server asked for; 0 when it did not.
        fields: Those that the server named as invalid.
    """

    def __init__(
        self,
        status: int | None,
        reason: str,
        message: str,
        retry_after_seconds: float = 0.0,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.fields = fields

    @property
    def overloaded(self) -> bool:
        """The API server asks everybody to slow down: its priority and fairness (429), or a server that starts."""
        return self.status == 429 or (self.status == 503 and self.retry_after_seconds > 0.0)


def _ignore(verb: str, status: int | None) -> None:
    """Nobody counts the answers."""


def _undated(date: str) -> None:
    """Nobody compares clocks."""


class Rest:
    """JSON in, JSON out.

    Args:
        client: The shared client with its credentials.
        answered: Told of each answer as (verb, status); status None for no answer.
        dated: Told the ``Date`` of each answer.
    """

    def __init__(
        self,
        client: ApiClient,
        answered: Callable[[str, int | None], None] = _ignore,
        dated: Callable[[str], None] = _undated,
    ) -> None:
        self._client = client
        self._answered = answered
        self._dated = dated

    async def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Json:
        return await self._request("GET", path, query=query)

    async def post(self, path: str, body: Mapping[str, Any]) -> Json:
        return await self._request("POST", path, body)

    async def put(self, path: str, body: Mapping[str, Any]) -> Json:
        return await self._request("PUT", path, body)

    async def patch(self, path: str, body: Mapping[str, Any], query: Sequence[tuple[str, str]] = ()) -> Json:
        """Merge-patch: keys that are None are removed, lists are replaced whole."""
        return await self._request("PATCH", path, body, query, MERGE_PATCH)

    async def _request(
        self,
        verb: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
    ) -> Json:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                status, headers, payload = await self._send(verb, path, body, query, content_type)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._answered(verb, None)
            raise RequestError(None, "NoAnswer", f"{verb} {path}: {type(error).__name__}: {error}") from error
        self._answered(verb, status)
        self._dated(headers.get("Date", ""))
        if status >= 400:
            raise _refusal(f"{verb} {path}", status, headers, payload)
        return _parse(f"{verb} {path}", status, payload)

    async def _send(
        self, verb: str, path: str, body: Mapping[str, Any] | None, query: Sequence[tuple[str, str]], content_type: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        request = await self._client.param_serialize(
            verb,
            path,
            header_params={"Accept": "application/json", "Content-Type": content_type},
            query_params=list(query),
            body=body,
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS)
        response = await self._client.call_api(*request, _request_timeout=timeout)
        payload: bytes = await response.response.read()
        return response.status, response.headers, payload


def _refusal(what: str, status: int, headers: Mapping[str, str], payload: bytes) -> RequestError:
    """The server's own words; a proxy in between may answer with anything."""
    try:
        answer = json.loads(payload)
    except ValueError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    message = str(answer.get("message") or payload[:200].decode(errors="replace"))
    retry_after = headers.get("Retry-After", "")
    return RequestError(
        status,
        str(answer.get("reason") or f"Http{status}"),
        f"{what}: {status} {message}",
        float(retry_after) if retry_after.isdigit() else 0.0,
        _fields(answer.get("details")),
    )


def _fields(details: Any) -> tuple[str, ...]:
    """Fields that a refusal names; a list in it is named with its index."""
    causes = details.get("causes") if isinstance(details, dict) else None
    return tuple(str(cause["field"]) for cause in causes or () if isinstance(cause, dict) and cause.get("field"))


def _parse(what: str, status: int, payload: bytes) -> Json:
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise RequestError(status, "NotJson", f"{what}: the answer is not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise RequestError(status, "NotJson", f"{what}: the answer is not a JSON object")
    return answer
