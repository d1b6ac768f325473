"""What `check --dump` writes and `check -f` replays: objects without what they need not tell, and Prometheus' answers.

Names of hosts and addresses are replaced, the same by the same, in objects and answers alike. Of pods only what is read
is kept: no environment, arguments, volumes or images' credentials.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from kcloud_autoscale.cli.options import writing
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.observe.prometheus_response import DEFAULT_BOUND, Point, PrometheusError, ResponseBound, Row
from kcloud_autoscale.observe.query_batching import TAG, TAG_PREFIX
from kcloud_autoscale.observe.query_session import Source
from kcloud_autoscale.observe.reader import Json

S = TypeVar("S", Point, Row)

RECORDING = "prometheus.json"
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}\b")
_META = ("name", "namespace", "labels", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp",
         "generation", "ownerReferences")  # fmt: skip
_KEPT_ANNOTATIONS = ("kcloud.io/", "of")
_CONTAINER = ("name", "image", "resources", "restartPolicy")
_SPECS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("nodeName", "containers", "initContainers", "resourceClaims", "resources", "overhead"),
    "Node": ("unschedulable", "taints"),
    "Deployment": ("replicas", "selector", "paused"),
    "StatefulSet": ("replicas", "selector"),
    "ReplicaSet": ("replicas", "selector"),
}
_STATUSES: Mapping[str, tuple[str, ...]] = {
    "Pod": ("phase", "startTime", "conditions", "resourceClaimStatuses", "extendedResourceClaimStatus"),
    "Node": ("allocatable", "capacity", "conditions"),
}


@dataclass(slots=True)
class Recording:
    """Answers of a Prometheus by question.

    Attributes:
        at_seconds: The instant that was looked at.
        answers: By a text that names the question.
    """

    at_seconds: float
    answers: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(files: Sequence[str]) -> Recording | None:
        """The recording among files and folders; None where there is none.

        Raises:
            ConfigError: It cannot be read.
        """
        for name in files:
            path = Path(name) / RECORDING
            if not path.is_file():
                continue
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                return Recording(float(content["at"]), dict(content["answers"]))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path} is no recording of a Prometheus: {error}") from error
        return None


class RecordingSource:
    """Asks a Prometheus, and remembers what it said."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._answers: dict[str, Any] = {}

    def recording(self, at_seconds: float) -> Recording:
        """Everything so far."""
        return Recording(at_seconds, self._answers)

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Point]:
        """As `Prometheus.query`."""
        asked = self._source.query(promql, at_seconds, timeout_seconds, lookback_seconds, bound)
        return await self._remembered(_question("query", promql, at_seconds), asked, _points)

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
        """As `Prometheus.query_range`."""
        span = (start_seconds, end_seconds, step_seconds)
        asked = self._source.query_range(promql, *span, timeout_seconds, lookback_seconds, bound)
        return await self._remembered(_question("range", promql, *span), asked, _rows)

    async def samples(self, selector: str, at_seconds: float, timeout_seconds: float | None = None) -> list[Row]:
        """As `Prometheus.samples`."""
        asked = self._source.samples(selector, at_seconds, timeout_seconds)
        return await self._remembered(_question("samples", selector, at_seconds), asked, _rows)

    async def _remembered(self, question: str, asked: Awaitable[list[S]], plain: Callable[[list[S]], Any]) -> list[S]:
        try:
            found = await asked
        except PrometheusError as error:
            self._answers[question] = {"error": str(error)}
            raise
        self._answers[question] = plain(found)
        return found


class ReplaySource:
    """Answers from a recording; a question that was not asked then has no answer.

    Args:
        recording: What was asked and answered.
        unanswered: What is said of a question that is not in it.
    """

    def __init__(self, recording: Recording, unanswered: str = "") -> None:
        self._answers = recording.answers
        self._unanswered = unanswered or "the recording has no answer to this question"

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Point]:
        """As `Prometheus.query`."""
        found = self._answer(_question("query", promql, at_seconds))
        return [Point(_tagged(labels, promql), float(value), float(at)) for labels, value, at in found]

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
        """As `Prometheus.query_range`."""
        return self._series(promql, _question("range", promql, start_seconds, end_seconds, step_seconds))

    async def samples(self, selector: str, at_seconds: float, timeout_seconds: float | None = None) -> list[Row]:
        """As `Prometheus.samples`."""
        return self._series(selector, _question("samples", selector, at_seconds))

    def _series(self, promql: str, question: str) -> list[Row]:
        return [
            Row(
                _tagged(labels, promql),
                np.array(times, dtype=np.float64),
                np.array([float(v) for v in values], dtype=np.float64),
            )
            for labels, times, values in self._answer(question)
        ]

    def _answer(self, question: str) -> Any:
        if question not in self._answers:
            raise PrometheusError(self._unanswered)
        answer = self._answers[question]
        if isinstance(answer, dict):
            raise PrometheusError(answer["error"])
        return answer


def _question(verb: str, promql: str, *numbers: float) -> str:
    return "\n".join([verb, " ".join(f"{number:.3f}" for number in numbers), TAG.sub(TAG_PREFIX, promql)])


def _untagged(labels: Mapping[str, str]) -> dict[str, str]:
    """The tag of a joint query is another each time; a recording has it without what is drawn."""
    return {TAG.sub(TAG_PREFIX, name): value for name, value in labels.items()}


def _tagged(labels: Mapping[str, str], promql: str) -> dict[str, str]:
    """With the tag of the query that is asked now."""
    tag = TAG.search(promql)
    return {tag[0] if tag and name == TAG_PREFIX else name: value for name, value in labels.items()}


def _points(found: Iterable[Point]) -> list[Any]:
    return [[_untagged(each.labels), repr(each.value), each.at_seconds] for each in found]


def _rows(found: Iterable[Row]) -> list[Any]:
    return [[_untagged(each.labels), each.times.tolist(), [repr(v) for v in each.values.tolist()]] for each in found]


def dump(folder: Path, documents: Sequence[Json], recording: Recording) -> None:
    """Write `objects.yaml` and the recording into a folder.

    Raises:
        ConfigError: It cannot be written.
    """
    kept = [_kept(each) for each in documents]
    names = _replacements(kept)
    objects = _replaced(yaml.safe_dump_all(kept, sort_keys=False), names)
    answers = _replaced(json.dumps({"at": recording.at_seconds, "answers": recording.answers}), names)
    with writing():
        (folder / "objects.yaml").write_text(objects, encoding="utf-8")
        (folder / RECORDING).write_text(answers, encoding="utf-8")


def _kept(document: Json) -> Json:
    kind, meta = document["kind"], document["metadata"]
    kept: Json = {
        "apiVersion": document["apiVersion"],
        "kind": kind,
        "metadata": {name: meta[name] for name in _META if name in meta},
    }
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(_KEPT_ANNOTATIONS)}
    if annotations:
        kept["metadata"]["annotations"] = annotations
    for part, fields in (("spec", _SPECS), ("status", _STATUSES)):
        if part in document:
            content = document[part] or {}
            kept[part] = {k: content[k] for k in fields[kind] if k in content} if kind in fields else content
    for name in ("containers", "initContainers"):
        if kind == "Pod" and name in kept.get("spec", {}):
            kept["spec"][name] = [{k: each[k] for k in _CONTAINER if k in each} for each in kept["spec"][name]]
    return kept


def _replacements(documents: Sequence[Json]) -> dict[str, str]:
    """A name for each host: those of nodes, and what their labels call them."""
    names: dict[str, str] = {}
    for each in documents:
        if each["kind"] == "Node":
            number = len(names) + 1
            name = each["metadata"]["name"]
            names.setdefault(name, f"node-{number}")
            host = (each["metadata"].get("labels") or {}).get("kubernetes.io/hostname")
            if host:
                names.setdefault(host, names[name])
    return names


def _replaced(text: str, names: Mapping[str, str]) -> str:
    if names:
        longest_first = sorted(names, key=lambda name: (-len(name), name))
        pattern = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")
        text = pattern.sub(lambda found: names[found[0]], text)
    seen: dict[str, str] = {}
    return _ADDRESS.sub(lambda found: seen.setdefault(found[0], f"192.0.2.{len(seen) % 254 + 1}"), text)
