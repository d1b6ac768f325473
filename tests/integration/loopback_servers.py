"""The smallest servers that an API server asks over TLS: an External metrics API, an admission webhook."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hack.cluster import ServerCertificate

GROUP_VERSION = "external.metrics.k8s.io/v1beta1"
Answer = dict[str, Any]


@contextlib.contextmanager
def json_server(certificate: ServerCertificate, answer: Callable[[str, bytes], Answer]) -> Iterator[int]:
    """Serve `answer(path, body)` to GET and POST on a free port of loopback, which is yielded.

    An answer of kind Status with a code is sent with that code: how a Kubernetes API says no.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answered = answer(self.path, received)
            body = json.dumps(answered).encode()
            self.send_response(answered.get("code", 200))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the names are http.server's

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: the API server asks every few seconds."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@dataclass
class ExternalMetric:
    """Answers every metric name with one value, which a test changes while the server runs."""

    value: int

    def answer(self, path: str, _body: bytes) -> Answer:
        """Discovery at the group's root, one value below `namespaces/<namespace>/<metric>`."""
        if "/namespaces/" not in path:
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION, "resources": []}
        metric = path.partition("?")[0].rpartition("/")[2]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        item = {"metricName": metric, "metricLabels": {}, "timestamp": now, "value": str(self.value)}
        return {"kind": "ExternalMetricValueList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": [item]}


@dataclass
class RefusingWebhook:
    """Refuses every object with one message, and remembers which it was asked about."""

    message: str
    asked: list[str] = field(default_factory=list)

    def answer(self, _path: str, body: bytes) -> Answer:
        request = json.loads(body)["request"]
        self.asked.append(request["name"])
        response = {"uid": request["uid"], "allowed": False, "status": {"message": self.message}}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
