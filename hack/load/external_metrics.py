"""An external metrics API: what a Prometheus adapter does for the HPA controller, in two routes.

The real HPA asks the aggregated API `external.metrics.k8s.io/v1beta1` for a metric by name and labels; here a name
stands for a PromQL template, into which namespace and labels are filled as escaped strings, and Prometheus answers.
What Prometheus does not know the API does not know either: an empty list, on which the HPA holds and says so
(FailedGetExternalMetric).
"""

import asyncio
import contextlib
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

import aiohttp
from aiohttp import web

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
_GROUP_VERSION = f"{GROUP}/{VERSION}"
_QUERY_TIMEOUT_SECONDS = 5.0


class NoValueError(Exception):
    """Prometheus gave no usable number; the message says why."""


@dataclass(frozen=True, slots=True)
class ExternalMetrics:
    """Metric name → PromQL template. `$namespace` and every label of the HPA's selector may stand in it."""

    prometheus_url: str
    queries: Mapping[str, str]

    async def value(
        self, session: aiohttp.ClientSession, metric: str, namespace: str, labels: Mapping[str, str]
    ) -> float:
        """The metric's present value.

        Raises:
            NoValueError: no answer, an error, no or several series, or not a finite number.
        """
        filled = {name: escaped(value) for name, value in {**labels, "namespace": namespace}.items()}
        try:
            query = Template(self.queries[metric]).substitute(filled)
        except KeyError as error:
            raise NoValueError(f"the query of {metric} needs the label {error}") from error
        try:
            async with session.get(f"{self.prometheus_url}/api/v1/query", params={"query": query}) as answer:
                return single_value(await answer.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NoValueError(f"Prometheus: {error or type(error).__name__}") from error


def single_value(answer: Any) -> float:
    """The number in the answer to an instant query.

    Raises:
        NoValueError: it is not exactly one finite number.
    """
    if not isinstance(answer, dict) or answer.get("status") != "success":
        raise NoValueError(f"Prometheus answered {str(answer)[:200]}")
    result = answer["data"]["result"]
    if len(result) != 1:
        raise NoValueError(f"{len(result)} series instead of one")
    number = float(result[0]["value"][1])
    if not math.isfinite(number):
        raise NoValueError(f"the value is {number}")
    return number


def quantity(value: float) -> str:
    """As a Kubernetes quantity in thousandths: 12.3456 → 12346m, rounded up so that 0.0001 is not nothing."""
    return f"{math.ceil(value * 1000 - 1e-6)}m"


def escaped(value: str) -> str:
    """Safe between the double quotes of PromQL."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def labels_of(selector: str) -> dict[str, str]:
    """`a=b,c=d` → its pairs: what an HPA's `matchLabels` arrives as.

    Raises:
        ValueError: the selector asks for more than equality.
    """
    pairs = dict[str, str]()
    for term in filter(None, selector.split(",")):
        name, equals, value = term.partition("=")
        if not equals or name.endswith("!") or " " in term:
            raise ValueError(f"only equality is understood, not {term!r}")
        pairs[name] = value.removeprefix("=")
    return pairs


def application(metrics: ExternalMetrics, session: aiohttp.ClientSession) -> web.Application:
    """Routes: discovery of the group, and the value of a metric in a namespace."""

    async def discovery(_: web.Request) -> web.Response:
        resources = [
            {"name": name, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            for name in metrics.queries
        ]
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP_VERSION, "resources": resources}
        )

    async def read(request: web.Request) -> web.Response:
        metric, namespace = request.match_info["metric"], request.match_info["namespace"]
        if metric not in metrics.queries:
            raise web.HTTPNotFound(text=f"no metric {metric}; there are {', '.join(metrics.queries)}\n")
        try:
            labels = labels_of(request.query.get("labelSelector", ""))
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        items = []
        with contextlib.suppress(NoValueError):  # an empty list is this API's word for it
            value = await metrics.value(session, metric, namespace, labels)
            items.append(_item(metric, labels, value))
        return web.json_response(
            {"kind": "ExternalMetricValueList", "apiVersion": _GROUP_VERSION, "metadata": {}, "items": items}
        )

    app = web.Application()
    app.add_routes(
        [
            web.get(f"/apis/{_GROUP_VERSION}", discovery),
            web.get(f"/apis/{_GROUP_VERSION}/namespaces/{{namespace}}/{{metric}}", read),
        ]
    )
    return app


@contextlib.asynccontextmanager
async def serving(metrics: ExternalMetrics, certificate: Path, key: Path, port: int = 0) -> AsyncIterator[int]:
    """Serve over TLS on loopback; yields the port."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    await asyncio.to_thread(tls.load_cert_chain, certificate, key)
    timeout = aiohttp.ClientTimeout(total=_QUERY_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        runner = web.AppRunner(application(metrics, session), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


def _item(metric: str, labels: Mapping[str, str], value: float) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metricName": metric, "metricLabels": dict(labels), "timestamp": now, "value": quantity(value)}
