"""Grouped queries, and their answers handed out to the workloads they are about."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.presets import Preset
from kcloud_autoscale.observe.prometheus_response import Point, PrometheusError, Row
from kcloud_autoscale.observe.promql import GROUP, PodNaming, Selection, split

S = TypeVar("S", Point, Row)

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Build = Callable[[Selection], str]


@dataclass(frozen=True, slots=True)
class Subject:
    """A workload as metrics know it.

    Attributes:
        key: The optimizer.
        name: Of the scaled object, or what stands for it (a service).
        naming: Of its pods.
        labels: Further labels with the one value wanted.
    """

    key: WorkloadKey
    name: str
    naming: PodNaming
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """Values of the labels a grouped result is told apart by."""
        return (self.key.namespace, self.name, *(value for name, value in self.labels if name not in GROUP))


def subject(
    key: WorkloadKey, name: str, naming: PodNaming, preset: Preset, labels: Iterable[tuple[str, str]]
) -> Subject:
    """How a preset's metrics know a workload.

    Raises:
        ValueError: A label name that is none; it would become part of the query as it stands.
    """
    wanted = dict(sorted(labels))
    for label in wanted:
        if not _LABEL_NAME.fullmatch(label):
            raise ValueError(f"{label!r} in demand.labels is no label name")
    name = wanted.pop(preset.name_label, name) if preset.name_label else name
    return Subject(key, name, naming, tuple(wanted.items()))


def selections(subjects: Sequence[Subject], most_names: int) -> list[tuple[Selection, list[Subject]]]:
    """Subjects that can share a query, at most ``most_names`` names in each; namespaces are kept together."""
    alike: dict[tuple[PodNaming, tuple[str, ...]], list[Subject]] = {}
    for each in sorted(subjects, key=lambda each: (each.key.namespace, each.name)):
        alike.setdefault((each.naming, tuple(name for name, _ in each.labels)), []).append(each)
    found = []
    for (naming, label_names), group in alike.items():
        for start in range(0, len(group), most_names):
            part = group[start : start + most_names]
            labels = tuple(
                (name, tuple(sorted({each.labels[i][1] for each in part}))) for i, name in enumerate(label_names)
            )
            namespaces = tuple(sorted({each.key.namespace for each in part}))
            names = tuple(dict.fromkeys(each.name for each in part))
            found.append((Selection(namespaces, names, naming, labels), part))
    return found


async def ask(
    build: Build, selection: Selection, send: Callable[[str], Awaitable[list[S]]]
) -> list[tuple[Selection, list[S] | PrometheusError]]:
    """Ask for all names of a selection, in as many queries as it takes.

    One workload's odd series can make the server refuse a whole group ("many-to-many matching"); the group is then
    halved until the culprit is alone, and everyone else has their answer.
    """
    answers: list[tuple[Selection, list[S] | PrometheusError]] = []
    waiting = split(selection, build)
    while waiting:
        text, part = waiting.pop()
        try:
            answers.append((part, await send(text)))
        except PrometheusError as error:
            if not error.about_query or len(part.names) < 2:
                answers.append((part, error))
                continue
            middle = len(part.names) // 2
            for names in (part.names[:middle], part.names[middle:]):
                half = replace(part, names=names)
                waiting.append((build(half), half))
    return answers


def hand_out(
    answers: Sequence[tuple[Selection, list[S] | PrometheusError]], subjects: Sequence[Subject], what: str
) -> dict[WorkloadKey, S | Missing]:
    """One series per subject, or why there is none."""
    series: dict[tuple[str, ...], list[S]] = {}
    failed: dict[str, PrometheusError] = {}
    for selection, answer in answers:
        if isinstance(answer, PrometheusError):
            failed.update(dict.fromkeys(selection.names, answer))
            continue
        for each in answer:
            series.setdefault(tuple(each.labels.get(name, "") for name in selection.group), []).append(each)
    return {each.key: _one(series.get(each.identity, []), failed.get(each.name), what) for each in subjects}


def _one(found: list[S], error: PrometheusError | None, what: str) -> S | Missing:
    if error is not None:
        return Missing(MissingReason.SOURCE_ERROR, f"{what}: {error}")
    if not found:
        return Missing(MissingReason.NO_DATA, f"{what}: no series of this workload")
    if len(found) > 1:
        return Missing(MissingReason.AMBIGUOUS, f"{what}: {len(found)} series of this workload; one is needed")
    return found[0]


def only(found: Sequence[S], what: str, max_age_seconds: float | None = None) -> S | Missing:
    """The series of a user's own query, which must give exactly one; ``max_age_seconds`` is what was asked for."""
    if len(found) == 1:
        return found[0]
    if not found:
        age = "" if max_age_seconds is None else f" with samples younger than {max_age_seconds:g} s"
        return Missing(MissingReason.NO_DATA, f"{what} returns no series{age}")
    apart = f" that differ in {', '.join(apart)}" if (apart := _labels_apart(found)) else ""
    return Missing(MissingReason.AMBIGUOUS, f"{what} returns {len(found)} series{apart}; it must return one")


def _labels_apart(found: Sequence[Point | Row]) -> list[str]:
    """Labels that do not have one value in all of the series: what a user has to sum over."""
    names = {name for each in found for name in each.labels}
    return sorted(name for name in names if len({each.labels.get(name) for each in found}) > 1)
