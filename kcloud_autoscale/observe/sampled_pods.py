"""Which of the Ready pods stand behind a reading: what four of six tell is a lower bound of the load of six.

A pod that serves and is not scraped (its target is down, or was never found) takes its share of the load out of every
sum. Nothing in the answer tells; so the pods with samples are asked for beside it, and laid beside the pods that the
API server calls Ready. That can be done where the series carry their pod's name, which those that a pod exports do. A
gateway's series name the gateway's pods, a queue's its exporter: then no pod of the target is found in them at all, and
nothing is suspected.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.reading import BoundedReading, Missing, MissingReason, as_lower_bound
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.coverage import silent_seconds
from kcloud_autoscale.observe.fetch import Build
from kcloud_autoscale.observe.presets import Preset
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.targets import Target
from kcloud_autoscale.observe.tenant_queries import TenantQuery
from kcloud_autoscale.observe.watched import Watched, subjects

# A pod is scraped for the first time up to an interval after it was found, and a rate needs two samples.
_YOUNG_INTERVALS = 3.0
# Of a selector without a range: how far back its pods' samples are counted.
_GAUGE_SECONDS = 60.0
_NAMED = 3  # of the pods without samples, in messages
# Pods of a group but its leader: `llm-0-3` of a LeaderWorkerSet. Engines export from the leader alone.
_WORKER = re.compile(r".*-[0-9]+-[0-9]+")


@frozen
class SampledPods:
    """The Ready pods of a target by whether a source has samples of them.

    Attributes:
        expected: Ready for long enough to have been scraped.
        silent: Of those, without samples.
        names: Of the silent ones, where they are known.
        told: The source names pods of the target at all; where it does not, none is called silent.
        failed: Why nothing is known of pods that the source does name; empty where it answered.
    """

    expected: int = 0
    silent: int = 0
    names: tuple[str, ...] = ()
    told: bool = False
    failed: str = ""

    def bound(self, reading: BoundedReading) -> BoundedReading:
        """What was read, as a lower bound where a part of the pods is silent, or may be."""
        if self.failed:
            return as_lower_bound(reading, MissingReason.SOURCE_ERROR, self.failed)
        if not self.silent:
            return reading
        text = f"{self.expected - self.silent} of {self.expected} Ready pods have samples"
        if self.names:
            text += f"; none of {', '.join(self.names[:_NAMED])}{', …' if len(self.names) > _NAMED else ''}"
        return as_lower_bound(reading, MissingReason.PARTIAL_SAMPLES, text)


def ready_since(target: Target, since_seconds: float) -> list[str]:
    """Names of the pods that have been Ready since then, and must have samples by now."""
    ready = (
        pod.seen.name
        for pod in target.pods
        if pod.seen.ready and pod.seen.ready_seconds is not None and pod.seen.ready_seconds <= since_seconds
    )
    grouped = isinstance(target.seen, TargetObservation) and target.seen.ref.kind == "LeaderWorkerSet"
    return [name for name in ready if not (grouped and _WORKER.fullmatch(name))]


def compared(
    target: Target, expected: Sequence[str], sampled: Collection[str], scraped: Collection[str] = ()
) -> SampledPods:
    """What is Ready beside what has samples.

    Args:
        target: With all its pods; one that is not Ready any more may still be in the samples.
        expected: Of `ready_since`.
        sampled: Names of pods the source has samples of.
        scraped: Names of pods whose every target is scraped: without samples they are idle.
    """
    if not any(pod.seen.name in sampled for pod in target.pods):
        return SampledPods(len(expected))
    silent = sorted(name for name in expected if name not in sampled and name not in scraped)
    return SampledPods(len(expected), len(silent), tuple(silent), told=True)


async def preset_pods(
    session: QuerySession, preset: Preset, members: Sequence[Watched], interval_seconds: float
) -> dict[WorkloadKey, SampledPods]:
    """Of the workloads of one preset that have pods; none where the preset's series are not the pods' own."""
    asked = [each for each in members if each.target.pods]
    if not preset.exported_by_pods or not asked:
        return {}
    silent = silent_seconds(interval_seconds)
    sampled, failed = await _names(session, asked, lambda part: queries.sampled_pods(preset, silent, part))
    unknown = {
        each.key: failed[each.subject.name]
        for each in asked
        if each.subject is not None and each.subject.name in failed
    }
    since = session.now_seconds - _YOUNG_INTERVALS * interval_seconds
    expected = {each.key: ready_since(each.target, since) for each in asked if each.key not in unknown}
    idle: dict[str, set[str]] = {}
    lacking = [
        each for each in asked
        if each.key in expected and not sampled.get(each.key.namespace, set()).issuperset(expected[each.key])
    ]  # fmt: skip
    if preset.silent_when_idle and lacking:
        idle, _ = await _names(session, lacking, lambda part: queries.scraped_pods(silent, part))
    return {
        each.key: SampledPods(failed=unknown[each.key])
        if each.key in unknown
        else compared(
            each.target,
            expected[each.key],
            sampled.get(each.key.namespace, set()),
            idle.get(each.key.namespace, set()),
        )
        for each in asked
    }


async def _names(
    session: QuerySession, members: Sequence[Watched], build: Build
) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Pods by namespace, and of which scaled objects nothing is known, with the reason."""
    answer, failed = await session.grouped_series(build, subjects(members), "pods with samples")
    found: dict[str, set[str]] = {}
    for point in answer:
        found.setdefault(point.labels.get("namespace", ""), set()).add(point.labels.get("pod", ""))
    return found, failed


async def own_pods(
    session: QuerySession, asked: Iterable[tuple[Watched, TenantQuery]]
) -> dict[tuple[WorkloadKey, TenantQuery], SampledPods]:
    """Of users' own queries, by workload and query; those whose samples name no pod of the target are absent.

    A pod younger than the range of a selector has fewer samples in it than the others, and is not suspected. Of
    several selectors the one that lacks most pods speaks for the query.
    """
    counts: dict[TenantQuery, tuple[WorkloadKey, TenantQuery, int]] = {}
    for each, query in asked:
        for selector in query.selectors:
            back = selector.back_seconds or _GAUGE_SECONDS
            if expected := ready_since(each.target, session.now_seconds - back):
                text = queries.own_pods_counted(selector.text, each.key.namespace, expected, back)
                counts[TenantQuery(each.key.namespace, text)] = (each.key, query, len(expected))
    found: dict[tuple[WorkloadKey, TenantQuery], SampledPods] = {}
    for count, point in (await session.own(counts.keys(), "pods with samples")).items():
        if isinstance(point, Missing) or not point.value > 0.0:
            continue
        key, query, pods = counts[count]
        silent, known = max(0, pods - round(point.value)), found.get((key, query))
        if known is None or silent > known.silent:
            found[key, query] = SampledPods(pods, silent, told=True)
    return found
