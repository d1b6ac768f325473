"""What to do about a condition that is not as it should be: one sentence for whoever is on call."""

from __future__ import annotations

import re

from kcloud_autoscale.api import conditions
from kcloud_autoscale.api.base import Condition
from kcloud_autoscale.api.workload_status import WorkloadOptimizerStatus

# A condition whose True is bad news.
_BAD_WHEN_TRUE = frozenset({conditions.CONFLICT})

# Reasons of Ready that rest on another condition, which says of what and since when.
_FOLLOWS = frozenset({"TargetNotFound", "MetricsUnknown", "Fallback", "Conflict"})

_SAME_AS_BELOW = "It follows from the conditions below; begin with those."

_BY_REASON = {
    (conditions.READY, "TargetNotFound"): _SAME_AS_BELOW,
    (conditions.READY, "MetricsUnknown"): _SAME_AS_BELOW,
    (conditions.READY, "Conflict"): _SAME_AS_BELOW,
    (
        conditions.READY,
        "Fallback",
    ): "The metrics have been away for so long that spec.autoScaling.fallback applies; see MetricsAvailable.",
    (conditions.METRICS_AVAILABLE, "SourceError"): "Prometheus did not answer. See whether it is up, and whether "
    "PROMETHEUS_URL and its credentials are right; nothing is scaled down meanwhile.",
    (conditions.METRICS_AVAILABLE, "NoData"): "The query works and returns nothing: see whether the workload's metrics "
    "are scraped (Prometheus' /targets page) and whether spec.autoScaling.demand names its serving stack.",
    (conditions.METRICS_AVAILABLE, "Stale"): "The newest sample is too old: the scrape of this workload has stopped. "
    "See its target on Prometheus' /targets page.",
    (
        conditions.METRICS_AVAILABLE,
        "PartialSamples",
    ): "A part of the Ready pods is not scraped, or exports nothing: see "
    "their targets on Prometheus' /targets page. Until then the count may grow, and does not shrink.",
    (conditions.METRICS_AVAILABLE, "NotANumber"): "The query divides by nothing, as a latency without traffic does. It "
    "heals with the next request; a query of your own can be guarded with `> 0`.",
    (conditions.METRICS_AVAILABLE, "OutOfRange"): "The value is physically impossible; look at the exporter or at the "
    "query.",
    (conditions.METRICS_AVAILABLE, "Ambiguous"): "The query must return one series: aggregate it with sum() or max().",
    (conditions.METRICS_AVAILABLE, "TooLarge"): "The query must return one series and returns very many: aggregate it "
    "with sum() or max(), or match fewer. It is asked again after a pause that doubles each time, up to an hour.",
    (conditions.METRICS_AVAILABLE, "Refused"): "This installation does not ask the query, as the message says: mend "
    "it, or have the admin set tenantQueries. `kcloud-autoscale validate` says the same offline.",
    (conditions.METRICS_AVAILABLE, "NotConfigured"): "Set spec.autoScaling.demand (a preset or a query) or a metric in "
    "spec.autoScaling.metrics.",
    (conditions.METRICS_AVAILABLE, "CapacityUnknown"): "Set spec.autoScaling.capacityPerReplica, or a latency metric "
    "from which it can be learned.",
    (conditions.FORECAST_TRUSTED, "Disabled"): "Nothing, if that is meant: spec.autoScaling.forecast switches it off.",
    (conditions.FORECAST_TRUSTED, "TooLittleHistory"): "Nothing: ten minutes of demand are enough to begin with. Until "
    "then HPA's rule decides.",
    (conditions.FORECAST_TRUSTED, "NoForecast"): "Nothing, if the optimizer is new; else see MetricsAvailable. Until "
    "then HPA's rule decides.",
    (conditions.FORECAST_TRUSTED, "TeachingFailed"): "Look at what the demand query returns for the last two weeks. "
    "It is tried again every ten minutes; until then HPA's rule decides.",
    (conditions.FORECAST_TRUSTED, "CapacityUnknown"): "Set spec.autoScaling.capacityPerReplica, or let a latency "
    "metric teach it. Until then HPA's rule decides.",
    (conditions.FORECAST_TRUSTED, "CapacityAtLeast"): "Nothing: HPA's rule on the metrics decides, and the forecast "
    "follows once a load has shown where the objective ends. A load test's spec.autoScaling.capacityPerReplica lets it "
    "begin at once.",
    (conditions.WITHIN_CAPS, "FloorsExceedCap"): "Lower spec.autoScaling.minReplicas or raise the limit: money never "
    "cuts minReplicas.",
    (conditions.READY, "InvalidSpec"): "Mend the spec as the message says; `kcloud-autoscale validate` checks it "
    "offline. Nothing is scaled until then.",
    (conditions.READY, "InternalError"): "A fault of the operator: its log has the traceback under the decision's "
    "time. Nothing is scaled until it is mended; scale by hand if you must.",
    (conditions.READY, "NamespaceExcluded"): "Run the workload in a namespace of its own, or have whoever runs the "
    "operator take this one out of excludedNamespaces (chart) or EXCLUDED_NAMESPACES. Mode Recommend works anywhere.",
    (conditions.READY, "ScaleRefused"): "The API server refused the write to /scale. See whether the operator's role "
    "covers the target's kind and whether a quota or an admission webhook stands in the way. It is tried again after a "
    "minute, then less often, every five minutes at least.",
    (conditions.READY, "ScaleFailed"): "The API server did not answer the write or failed over it; it is tried again "
    "within five minutes. See whether an admission webhook is down.",
    (conditions.READY, "ScaleDeferred"): "More writes wait than the budget has room for: raise WRITE_QPS if the API "
    "server bears it, and see kcloud_write_rate for whether it has slowed the operator down.",
    (
        conditions.READY,
        "ScaleGone",
    ): "The target was deleted while it was being decided on; the next cycle looks again.",
}

# Prometheus answers, and objects to the query: 400 where it cannot be parsed, 422 where it cannot be evaluated, as when
# it joins many series with many. Not where it objects to everything, as a proxy in front of it may.
_REJECTED = re.compile(r"\bHTTP 4(00|22): |\bbad_data: ")
_AWAY = "Prometheus does not answer"
_MEND_QUERY = (
    "Prometheus answers and rejects the query, as the message says: mend it in spec.autoScaling.demand.query (of "
    "demand) or in query of spec.autoScaling.metrics[] (of a metric). Nothing is scaled down meanwhile."
)

_BY_TYPE = {
    conditions.READY: "See the message. Nothing is scaled until it is mended; what runs is left as it is.",
    conditions.TARGET_FOUND: "Create the object, or name the right one in spec.targetRef (same namespace, with a "
    "/scale subresource).",
    conditions.CONFLICT: "Two autoscalers would fight, so this one keeps its hands off. Delete the other, or set "
    'spec.autoScaling.mode to "Off" or Recommend.',
    conditions.METRICS_AVAILABLE: "See the message for the query that gave nothing. Unknown load never scales down.",
    conditions.PRICE_KNOWN: "Label the nodes with their accelerator, run OpenCost, or set a price in a CostPolicy "
    "(resourceCostPolicy). Until then costs are not counted and a cost cap allows no growth.",
    conditions.POWER_KNOWN: "Run DCGM, an NPU exporter or Kepler, or label the nodes with their accelerator. Until "
    "then watts are not counted and a power cap allows no growth.",
    conditions.FORECAST_TRUSTED: "Nothing at once: HPA's rule decides until the forecast has proved itself again. If "
    "it lasts for days, look at whether the demand is measured well.",
    conditions.WITHIN_CAPS: "Raise the limit or lower minReplicas; see Limits above.",
    conditions.FIELDS_HONOURED: "Take those fields out, or know that they change nothing in this version.",
}


def condition(status: WorkloadOptimizerStatus, name: str) -> Condition | None:
    """The condition of that type, if the status has it."""
    return next((each for each in status.conditions or () if each.type == name), None)


def advised(status: WorkloadOptimizerStatus) -> bool:
    """Whether the decision is only said (mode Recommend), as `Ready` tells."""
    ready = condition(status, conditions.READY)
    return ready is not None and ready.reason == "Recommended"


def is_bad(seen: Condition) -> bool:
    """Whether somebody should look: False where True is good, True where it is not. Unknown is its own matter."""
    return seen.status == ("True" if seen.type in _BAD_WHEN_TRUE else "False")


def follows(seen: Condition) -> bool:
    """Whether it only repeats what another condition says better."""
    return seen.type == conditions.READY and seen.reason in _FOLLOWS


def advice(seen: Condition) -> str:
    """What to do about it; conditions of other controllers speak for themselves."""
    if seen.type == conditions.METRICS_AVAILABLE and _REJECTED.search(seen.message) and _AWAY not in seen.message:
        return _MEND_QUERY
    exact = _BY_REASON.get((seen.type, seen.reason))
    return exact or _BY_TYPE.get(seen.type, "It is not one of ours; see its message.")
