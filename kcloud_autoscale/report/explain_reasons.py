"""The part of an explanation that says why: inputs, forecast, signals and rules, from the status alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kcloud_autoscale.api import conditions
from kcloud_autoscale.api.workload_status import (
    AskedModelStatus,
    DecisionStep,
    ForecastStatus,
    LastDecision,
    WorkloadOptimizerStatus,
)
from kcloud_autoscale.domain.capacity import AT_LEAST
from kcloud_autoscale.report.advice import condition
from kcloud_autoscale.report.phrases import clock, duration, table

_UNITS = {"demand_per_second": "per second", "latency_seconds": "s", "requests_per_second": "per second"}


def reasons(status: WorkloadOptimizerStatus, decision: LastDecision) -> list[str]:
    """What the decision rests on, what each signal asked for, and what each rule made of it."""
    lines = table([*_source(status), *_facts(decision), *_forecast(status)])
    if decision.proposals:
        lines += ["", "  Asked for by each signal; the largest counts:"]
        rows = [(each.name, str(each.replicas), each.message or "") for each in decision.proposals]
        lines += table(rows, "    ")
    steps = [step for step in decision.steps or () if step.before != step.after or step.message]
    if steps := steps or (decision.steps or [])[-1:]:
        lines += ["", "  Rule by rule:", *table([_step(step) for step in steps], "    ")]
    return lines[1:] if lines and not lines[0] else lines


def _source(status: WorkloadOptimizerStatus) -> Iterator[tuple[str, str]]:
    if status.demand_source:
        found = ": its metrics name the pods" if status.demand_source.endswith(", found") else ""
        yield "demand source", f"{status.demand_source}{found}"


def _step(step: DecisionStep) -> tuple[str, str, str, str]:
    count = f"{step.before} -> {step.after}" if step.before != step.after else f"{step.after}"
    return step.stage, count, step.reason, step.message or ""


def _facts(decision: LastDecision) -> Iterator[tuple[str, str]]:
    for given in decision.inputs or ():
        if given.value is not None:
            name, unit = given.name.replace("_", " "), _UNITS.get(given.name, "")
            old = (
                f", read {duration(given.age_seconds)} before"
                if given.age_seconds is not None and given.age_seconds >= 1.0
                else ""
            )
            bound = "at least " if given.at_least else ""
            yield (
                name.removesuffix(f" {unit}").removesuffix(" seconds"),
                f"{bound}{given.value:g} {unit}".rstrip() + old,
            )
    if decision.capacity_per_replica is not None:
        yield "one replica serves", _capacity(decision.capacity_per_replica, decision.capacity_source)
    if decision.lead_time_seconds is not None:
        yield "a new one takes", f"{duration(decision.lead_time_seconds)} to serve ({decision.lead_time_source or '?'})"


def _capacity(per_second: float, source: str | None) -> str:
    if source == AT_LEAST:
        return f"at least {per_second:g} per second: no load seen so far missed the objective"
    return f"{per_second:g} per second ({source or '?'})"


def _forecast(status: WorkloadOptimizerStatus) -> Iterator[tuple[str, str]]:
    seen = status.forecast
    if seen is None:
        return
    trust = condition(status, conditions.FORECAST_TRUSTED)
    used = trust is None or trust.status == "True"
    if seen.peak is not None:
        level = f", at level {seen.quantile:.3g}" if seen.quantile is not None else ""
        within = f" within {duration(seen.horizon_seconds)}" if seen.horizon_seconds is not None else ""
        yield "forecast", f"at most {seen.peak:g} per second{within}{level} ({seen.model or 'unnamed model'})"
    elif seen.model is not None:
        yield "forecast", f"{seen.model}, not used for the count"
    said = "trusted" if seen.trusted and used else "NOT trusted: HPA's rule decides"
    yield "  trust", "; ".join([f"{said} ({seen.reason or 'no reason given'})", *_evidence(seen)])
    if seen.asked is not None:
        yield "  asked for", _asked(seen.asked)
    if seen.next_peak is not None and seen.next_peak_time is not None:
        yield "  next peak", f"{seen.next_peak:g} per second at {clock(seen.next_peak_time)}"


def _asked(asked: AskedModelStatus) -> str:
    """How much the model that was asked for is heard, or why it is silent."""
    if not asked.fitted:
        return f"{asked.model}, silent: {asked.message or 'no reason given'}"
    heard = f"has {asked.weight:.0%} of the say" if asked.weight else "is not heard, the others are better"
    return f"{asked.model}, which {heard}" + (f"; its last fit failed: {asked.message}" if asked.message else "")


def _evidence(seen: ForecastStatus) -> Iterator[str]:
    if seen.history_seconds is not None:
        yield f"{duration(seen.history_seconds)} of known demand behind it"
    error = seen.error
    if error is None:
        yield "how it holds is not known yet: no window that it was made for is over"
        return
    if error.coverage is not None:
        level = f", {error.quantile:.0%} are meant to" if error.quantile is not None else ""
        yield f"{error.coverage:.1%} of recent peaks stayed within it{level}"
    if error.mase is not None:
        yield f"errs {error.mase:.2f} times as much as the last value (MASE)"
    if error.pinball is not None and error.pinball_last_value is not None:
        yield f"pinball loss {error.pinball:.3g} per second, the last value's {error.pinball_last_value:.3g}"
