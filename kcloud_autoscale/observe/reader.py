"""Reading from the API server: one JSON object, or a stream of them, never without a timeout."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from kcloud_autoscale.domain.errors import ObservationError

Json = dict[str, Any]

CONNECT_TIMEOUT_SECONDS = 3.0
READ_TIMEOUT_SECONDS = 10.0
# The API server sends a bookmark about once a minute; a stream that is silent for longer is dead.
SILENCE_SECONDS = 75.0
WATCH_SECONDS = 290


class ReadError(ObservationError):
    """The API server refused a read or did not answer.

    Attributes:
        status: HTTP status; None when there was no answer.
    """

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(message)
        self.status = status


def ignore(verb: str, status: int | None) -> None:
    """Nobody counts."""


class Reader:
    """GET and WATCH through one shared client.

    Args:
        client: With its credentials.
        answered: Told of each answer: ``get`` or ``watch``, and the status; None for no answer.
    """

    def __init__(self, client: ApiClient, answered: Callable[[str, int | None], None] = ignore) -> None:
        self._client = client
        self._answered = answered

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """One object or one page of a list.

        Raises:
            ReadError: Refused, unreachable or no JSON.
        """
        limits = aiohttp.ClientTimeout(total=READ_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS)
        try:
            response = await self._send(path, list((query or {}).items()), limits)
            body = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._answered("get", None)
            raise ReadError(None, f"{path}: {type(error).__name__}: {error}") from error
        self._answered("get", response.status)
        if response.status != 200:
            raise _refusal(path, response.status, body)
        return _object(path, body)

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[Json]:
        """Events since a version, bookmarks included, until the server ends the stream.

        The first is ``{"type": "OPENED"}``: the server has accepted the watch. Until something happens, or for the
        minute until the first bookmark, there is no other sign of life.

        Raises:
            ReadError: Refused, unreachable, silent, or an event that is no JSON. Status 410: list anew.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(WATCH_SECONDS)),
        ]
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            response = await self._send(path, query, limits)
            async with response:
                self._answered("watch", response.status)
                if response.status != 200:
                    raise _refusal(path, response.status, await response.read())
                yield {"type": "OPENED"}
                async for line in response.content:
                    yield _object(path, line)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            self._answered("watch", None)
            raise ReadError(None, f"watch of {path}: {type(error).__name__}: {error}") from error

    async def _send(
        self, path: str, query: Sequence[tuple[str, str]], limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        request = await self._client.param_serialize(
            "GET",
            path,
            header_params={"Accept": "application/json"},
            query_params=list(query),
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*request, _request_timeout=limits)
        response: aiohttp.ClientResponse = answer.response
        return response


def _refusal(path: str, status: int, body: bytes) -> ReadError:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        message = body[:200].decode(errors="replace")
    return ReadError(status, f"{path}: HTTP {status}: {message}")


def _object(path: str, body: bytes) -> Json:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise ReadError(None, f"{path}: the answer is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ReadError(None, f"{path}: the answer is not a JSON object")
    return found
