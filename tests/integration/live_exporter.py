"""Targets of a real Prometheus that a test lets fail, vanish and come back."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Page = Callable[[], str]


@dataclass
class LiveExporter:
    """Pages of metrics by path; while ``failing`` each answers 500, as a server that is overloaded."""

    pages: dict[str, Page] = field(default_factory=dict)
    failing: bool = False
    port: int = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = exporter.pages.get(self.path)
                found = page is not None and not exporter.failing
                body = page().encode() if page is not None else b""
                self.send_response(200 if found else 500)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet: one line per scrape."""

        with http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler) as server:
            self.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            yield
            server.shutdown()

    def scrape_config(self, interval_seconds: float) -> str:
        """prometheus.yml with one job per page."""
        target = f"'127.0.0.1:{self.port}'"
        jobs = "\n".join(
            f"- {{job_name: {path[1:]}, metrics_path: {path}, static_configs: [{{targets: [{target}]}}]}}"
            for path in self.pages
        )
        every = f"{round(interval_seconds * 1000)}ms"
        return f"global: {{scrape_interval: {every}, scrape_timeout: {every}}}\nscrape_configs:\n{jobs}\n"


def vllm_pod(pod: str, per_second: float, namespace: str = "ai") -> Page:
    """A pod of a vLLM server that has served so many requests per second since it was started: now."""
    born = time.time()
    labels = f'namespace="{namespace}",pod="{pod}"'

    def page() -> str:
        count = 1000.0 + per_second * (time.time() - born)
        return (
            f'vllm:request_success_total{{{labels},finished_reason="stop"}} {count!r}\n'
            f"vllm:num_requests_running{{{labels}}} 2\nvllm:num_requests_waiting{{{labels}}} 0\n"
        )

    return page
