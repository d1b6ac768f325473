"""Building blocks of PromQL: quoting, and grouping by workload.

Pods come and go; history must count the ones that are gone. So a workload is recognised by the shape of its pods'
names, inside the query: ``llm-6d9f7c5b8-x2k4z`` is of Deployment ``llm``. Hashes are drawn from an alphabet without
vowels, which keeps ``llm`` and ``llm-batch`` apart: ``batch-6d9f7c5b8-x2k4z`` is no hash pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from kcloud_autoscale.api.promql import quoted

_HASH = "[bcdf-hj-np-tv-xz2456789]"

# VictoriaMetrics refuses longer queries by default (-search.maxQueryLen); Prometheus has no limit of its own.
MAX_QUERY_LENGTH = 16_000

GROUP = ("namespace", "workload")


class PodNaming(Enum):
    """What the owner's controller appends to its name to name a pod (anchored regular expressions)."""

    DEPLOYMENT = f"-{_HASH}{{1,10}}-{_HASH}{{5}}"
    STATEFUL_SET = "-[0-9]+"
    REPLICA_SET = f"-{_HASH}{{5}}"
    LEADER_WORKER_SET = "-[0-9]+(?:-[0-9]+)?"
    ANY = "-.+"  # a kind whose pods we know nothing of but the prefix


_NAMINGS = {
    "Deployment": PodNaming.DEPLOYMENT,
    "Rollout": PodNaming.DEPLOYMENT,
    "StatefulSet": PodNaming.STATEFUL_SET,
    "ReplicaSet": PodNaming.REPLICA_SET,
    "LeaderWorkerSet": PodNaming.LEADER_WORKER_SET,
}


TOLD_BY_KUBE_STATE_METRICS = (PodNaming.DEPLOYMENT, PodNaming.STATEFUL_SET)
"""Of whose Ready replicas kube-state-metrics keeps a record."""


def pod_naming(kind: str) -> PodNaming:
    """How pods of a kind are named."""
    return _NAMINGS.get(kind, PodNaming.ANY)


@dataclass(frozen=True, slots=True)
class Selection:
    """The workloads one grouped query is about.

    Attributes:
        namespaces: Where they are.
        names: Of the scaled objects. The query covers every pairing; the reader keeps those it asked for.
        naming: Of their pods.
        labels: Further labels and the values wanted of each; the result is grouped by them too.
    """

    namespaces: tuple[str, ...]
    names: tuple[str, ...]
    naming: PodNaming = PodNaming.DEPLOYMENT
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def group(self) -> tuple[str, ...]:
        """Labels that tell the series of a grouped result apart."""
        return GROUP + tuple(name for name, _ in self.labels if name not in GROUP)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which labels of a metric name its workload.

    Attributes:
        namespace: Label with the namespace.
        name: Label with the pod, or with the scaled object itself.
        is_pod: ``name`` holds a pod's name.
        unless: Label that must be empty: series it names belong to another identity of the same metric.
    """

    namespace: str
    name: str
    is_pod: bool = True
    unless: str = ""


# An exporter that writes pod labels itself is stored with `exported_*` unless scraped with honorLabels.
POD = (Identity("namespace", "pod", unless="exported_pod"), Identity("exported_namespace", "exported_pod"))

Expression = Callable[[str], str]
"""From label matchers to an expression that keeps labels: ``lambda m: f"rate(x_total{{{m}}}[1m])"``."""


def literal(value: str) -> str:
    """A regular expression (RE2) that matches exactly this text."""
    return "".join("\\" + letter if letter in r"\.+*?()|[]{}^$" else letter for letter in value)


def any_of(values: Iterable[str]) -> str:
    """A regular expression for one of the texts, longest first: an alternation takes the first branch that fits."""
    return "|".join(literal(value) for value in sorted(set(values), key=lambda value: (-len(value), value)))


def pod_names(names: Iterable[str]) -> str:
    """A regular expression for some pods; what those of one ReplicaSet have in common is written once."""
    tails: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        stem, dash, tail = name.rpartition("-")
        tails.setdefault(stem + dash, []).append(tail)
    return "|".join(f"{literal(stem)}(?:{any_of(found)})" for stem, found in tails.items())


def with_matcher(selector: str, matcher: str) -> str:
    """A selector with one more condition: ``up`` and ``up{job="a"}``."""
    if not selector.endswith("}"):
        return f"{selector}{{{matcher}}}"
    inside = selector[:-1].rstrip().removesuffix(",")
    return f"{inside}{'' if inside.endswith('{') else ', '}{matcher}}}"


def matchers(selection: Selection, identity: Identity) -> str:
    """Label matchers for the selected workloads, without braces."""
    names = any_of(selection.names)
    wanted = f"(?:{names}){selection.naming.value}" if identity.is_pod else names
    parts = [
        f"{identity.namespace}=~{quoted(any_of(selection.namespaces))}",
        f"{identity.name}=~{quoted(wanted)}",
        *(f"{label}=~{quoted(any_of(values))}" for label, values in selection.labels if label != identity.name),
    ]
    if identity.unless:
        parts.append(f'{identity.unless}=""')
    return ", ".join(parts)


def named(expression: str, selection: Selection, identity: Identity) -> str:
    """The expression with labels ``namespace``, ``workload`` and, where it has one, ``pod``."""
    source = "(.+)"
    if identity.is_pod:
        # Two trailing parts belong to the hash; where the name may end like a suffix it has to be spelled out.
        generic = selection.naming in (PodNaming.DEPLOYMENT, PodNaming.STATEFUL_SET, PodNaming.REPLICA_SET)
        source = f"({'.+' if generic else any_of(selection.names)}){selection.naming.value}"
    text = _relabelled(expression, "workload", identity.name, source)
    if identity.is_pod and identity.name != "pod":
        text = _relabelled(text, "pod", identity.name)
    if identity.namespace != "namespace":
        text = _relabelled(text, "namespace", identity.namespace)
    return text


def _relabelled(expression: str, label: str, source: str, pattern: str = "(.+)") -> str:
    return f'label_replace({expression}, "{label}", "$1", "{source}", {quoted(pattern)})'


def by_workload(
    aggregate: str,
    expression: Expression,
    selection: Selection,
    identities: Sequence[Identity] = POD,
    also: Sequence[str] = (),
) -> str:
    """``sum by (namespace, workload) (…)`` of all selected workloads under each of the identities.

    Args:
        aggregate: ``sum``, ``max``, ``avg`` or ``count``.
        expression: What is aggregated.
        selection: Of whom.
        identities: Where the metric may name its workload.
        also: More labels to keep, as ``le``.
    """
    parts = [named(expression(matchers(selection, identity)), selection, identity) for identity in identities]
    return f"{aggregate} by ({', '.join((*selection.group, *also))}) ({' or '.join(parts)})"


def pods_in(expression: Expression, namespaces: Sequence[str], identities: Sequence[Identity] = POD) -> str:
    """Series of all pods in the namespaces (of every namespace when none is given), as ``namespace`` and ``pod``."""
    parts = []
    for identity in identities:
        where = f"=~{quoted(any_of(namespaces))}" if namespaces else '!=""'
        inside = [f"{identity.namespace}{where}", f'{identity.name}!=""']
        if identity.unless:
            inside.append(f'{identity.unless}=""')
        text = expression(", ".join(inside))
        if identity.name != "pod":
            text = _relabelled(text, "pod", identity.name)
        if identity.namespace != "namespace":
            text = _relabelled(text, "namespace", identity.namespace)
        parts.append(text)
    return " or ".join(parts)


def split(selection: Selection, build: Callable[[Selection], str]) -> list[tuple[str, Selection]]:
    """Queries for all selected names, each short enough for every server.

    Names are halved until the text fits, so a query that mentions its names six times takes fewer of them. They are
    spread over namespaces as they come: give them sorted by namespace, and hand in one namespace's names together.
    """
    text = build(selection)
    if len(text) <= MAX_QUERY_LENGTH or len(selection.names) < 2:
        return [(text, selection)]
    middle = len(selection.names) // 2
    halves = (selection.names[:middle], selection.names[middle:])
    return [part for names in halves for part in split(replace(selection, names=names), build)]
