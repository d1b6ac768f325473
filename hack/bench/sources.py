"""A Prometheus and an API server of cardboard, in a process of their own: the real clients ask them over HTTP.

Both answer in the shape and size of the real ones (one series per workload named in a grouped query, one per pod for
devices, pages of full objects), from values that are computed, so that what is measured is the asking, the parsing
and everything after it. ``python -m hack.bench.sources --workloads 1000`` prints the port it serves on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from aiohttp import web

from hack.bench.fleet import NAMESPACE, PODS_EACH, SHAPES, demand, name_of
from hack.bench.objects import PODS_PER_NODE, Json, deployment, node, pod, pod_name

_NAMES = re.compile(r'(?:pod|deployment)=~"(?:\(\?:)?(w\d{5}(?:\|w\d{5})*)')
_SCRAPE_SECONDS = 15.0
_DEVICES = {"POWER_USAGE": 430.0, "GR_ENGINE_ACTIVE": 0.62, "GPU_UTIL": 0.7}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, required=True)
    asyncio.run(_serve(parser.parse_args().workloads))


async def _serve(workloads: int) -> None:
    app = web.Application(client_max_size=2**24)
    sources = Sources(workloads)
    app.router.add_post("/api/v1/query", sources.query)
    app.router.add_post("/api/v1/query_range", sources.query_range)
    app.router.add_get("/{path:.*}", sources.objects)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


class Sources:
    """Answers about a fleet of so many workloads."""

    def __init__(self, workloads: int) -> None:
        self._pods = [(index, each) for index in range(workloads) for each in range(PODS_EACH)]
        self._lists: dict[str, list[Json]] = {
            "/api/v1/pods": [pod(*each) for each in self._pods],
            "/apis/apps/v1/deployments": [deployment(index) for index in range(workloads)],
            "/api/v1/nodes": [node(number) for number in range(-(-len(self._pods) // PODS_PER_NODE))],
            "/apis/apps/v1/statefulsets": [],
            "/apis/autoscaling/v2/horizontalpodautoscalers": [],
        }

    async def query(self, request: web.Request) -> web.Response:
        """An instant query, or the stored samples of one series."""
        form = await request.post()
        text, at = str(form["query"]), float(str(form["time"]))
        if text.endswith("s]"):
            times = np.arange(at - 600.0, at, _SCRAPE_SECONDS)
            return _answer("matrix", [_series({}, "values", _pairs(times, np.ones(len(times))))])
        return _answer(
            "vector", [_series(labels, "value", _pair(at, value)) for labels, value in self.vector(text, at)]
        )

    async def query_range(self, request: web.Request) -> web.Response:
        """One row per workload named."""
        form = await request.post()
        text, start, end = str(form["query"]), float(str(form["start"])), float(str(form["end"]))
        step = float(str(form["step"]))
        rows = [
            _series(_workload(index), "values", _row(_kind(text), index % SHAPES, start, end, step))
            for index in _named(text)
        ]
        return _answer("matrix", rows)

    async def objects(self, request: web.Request) -> web.StreamResponse:
        """A page of a list, or a watch in which nothing happens."""
        found = self._lists.get(f"/{request.match_info['path']}")
        if found is None:
            return web.json_response({"message": "not found"}, status=404)
        if request.query.get("watch"):
            return await _silence(request)
        first, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
        more = str(first + limit) if first + limit < len(found) else ""
        meta = {"resourceVersion": "1", "continue": more}
        return web.json_response({"metadata": meta, "items": found[first : first + limit]})

    def vector(self, text: str, at: float) -> Iterable[tuple[dict[str, str], float]]:
        """Series of an instant query, with their labels."""
        if text == "vector(1)":
            yield {}, 1.0
        elif text.startswith("topk"):
            yield {"namespace": NAMESPACE, "pod": pod_name(0, 0)}, 40.0
        elif "node_total_hourly_cost" in text or "node_gpu_hourly_cost" in text:
            for each in self._lists["/api/v1/nodes"]:
                yield {"node": each["metadata"]["name"]}, 24.0 if "total" in text else 2.9
        elif "grid_intensity" in text:
            yield {"location": "KR"}, 430.0
        elif "DCGM" in text:
            value = next(each for key, each in _DEVICES.items() if key in text)
            for index, number in self._pods:
                yield {"namespace": NAMESPACE, "pod": pod_name(index, number), "modelName": "NVIDIA H100 80GB"}, value
        else:
            for index in _named(text):
                yield _workload(index), _value(_kind(text), index % SHAPES, at)


def _kind(text: str) -> str:
    if "timestamp(" in text:
        return "newest"
    if "count_over_time(" in text:
        return "counted"
    if "histogram_quantile" in text:
        return "latency"
    return "ready" if "replicas_ready" in text else "demand"


def _named(text: str) -> list[int]:
    found = _NAMES.search(text)
    return [int(name[1:]) for name in found[1].split("|")] if found else []


@lru_cache(maxsize=4096)
def _value(kind: str, shape: int, at: float) -> float:
    return float(_values(kind, shape, np.array([at]))[0])


@lru_cache(maxsize=1024)
def _row(kind: str, shape: int, start: float, end: float, step: float) -> str:
    times = np.arange(start, end + step / 2, step)
    return _pairs(times, _values(kind, shape, times))


def _values(kind: str, shape: int, times: np.ndarray) -> np.ndarray:
    if kind == "newest":
        return times - times % _SCRAPE_SECONDS
    if kind in ("ready", "counted"):
        # Samples are only counted in windows of ten minutes.
        return np.full(len(times), float(PODS_EACH) if kind == "ready" else 600.0 / _SCRAPE_SECONDS)
    load = demand(shape, times)
    # A queue at 30/s a replica: 0.1 s when idle, 0.5 s at 24/s.
    return load if kind == "demand" else 0.1 / np.maximum(1.0 - load / (30.0 * PODS_EACH), 0.02)


def _answer(kind: str, series: list[str]) -> web.Response:
    body = f'{{"status":"success","data":{{"resultType":"{kind}","result":[{",".join(series)}]}}}}'
    return web.Response(text=body, content_type="application/json")


def _series(labels: dict[str, str], key: str, samples: str) -> str:
    return f'{{"metric":{json.dumps(labels)},"{key}":{samples}}}'


def _pair(at: float, value: float) -> str:
    return f'[{at:.3f},"{value!r}"]'


def _pairs(times: np.ndarray, values: np.ndarray) -> str:
    return f"[{','.join(_pair(*each) for each in zip(times.tolist(), values.tolist(), strict=True))}]"


async def _silence(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.sleep(float(request.query.get("timeoutSeconds", "290")))
    return response


def _workload(index: int) -> dict[str, str]:
    return {"namespace": NAMESPACE, "workload": name_of(index)}


if __name__ == "__main__":
    main()
