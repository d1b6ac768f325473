"""The smallest aggregated External metrics API: one number, over TLS, on loopback."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hack.cluster import ServerCertificate

GROUP_VERSION = "external.metrics.k8s.io/v1beta1"


@dataclass
class MetricSource:
    """What the server answers for every metric name; a test changes `value` while the server runs."""

    port: int
    value: int


@contextlib.contextmanager
def external_metrics_server(certificate: ServerCertificate, value: int) -> Iterator[MetricSource]:
    source = MetricSource(0, value)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer(self.path, source.value)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: the API server asks every few seconds."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        source.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield source
        server.shutdown()


def answer(path: str, value: int) -> dict[str, Any]:
    """Discovery at the group's root, one value below `namespaces/<namespace>/<metric>`."""
    if "/namespaces/" not in path:
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION, "resources": []}
    metric = path.partition("?")[0].rpartition("/")[2]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    item = {"metricName": metric, "metricLabels": {}, "timestamp": now, "value": str(value)}
    return {"kind": "ExternalMetricValueList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": [item]}
