"""The last decision of one workload in words, from the status of its WorkloadOptimizer alone. Pure.

Written for somebody who was woken up: what runs, what was wanted and why, what limits it, what is not known and since
when, and what to do. A line stands only where the status has something to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from kcloud_autoscale.api import conditions
from kcloud_autoscale.api.base import Condition
from kcloud_autoscale.api.workload_status import LastDecision, WorkloadOptimizerStatus
from kcloud_autoscale.report.advice import advice, advised, condition, follows, is_bad
from kcloud_autoscale.report.explain_limits import held_back, limits
from kcloud_autoscale.report.explain_reasons import reasons
from kcloud_autoscale.report.explain_savings import savings
from kcloud_autoscale.report.phrases import age, clock, duration, folded, replicas, table

# The operator writes at least every five minutes, a cycle later at most.
LATE_SECONDS = 660.0

# A finalizer of ours is tried for a minute, a cycle longer at most.
RELEASED_SECONDS = 120.0

# The condition that a reason to hold comes with, where it has one of its own.
_HELD_BY = {
    "MetricsUnknown": conditions.METRICS_AVAILABLE,
    "Fallback": conditions.METRICS_AVAILABLE,
    "Conflict": conditions.CONFLICT,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose status it is.

    Attributes:
        name: As in ``namespace/name``.
        generation: Of the spec as it is now; None when the object does not say.
        deleted: When its deletion was asked for; None when it was not.
    """

    name: str
    generation: int | None = None
    deleted: datetime | None = None


def explain(subject: Subject, status: WorkloadOptimizerStatus, now_seconds: float) -> str:
    """The whole story, as lines for a terminal.

    Args:
        subject: Whose status it is.
        status: As the API server holds it; any part may be absent.
        now_seconds: Unix time, for ages.
    """
    decision = status.last_decision or LastDecision()
    blocks = [
        ("", _headline(subject, status, decision, now_seconds)),
        ("What runs", _runs(status, now_seconds)),
        ("What was wanted, and why", reasons(status, decision)),
        ("Limits", limits(status, decision)),
        ("What it saved", savings(status.savings)),
        ("What is not known", _unknown(status, decision, now_seconds)),
        ("What to do", _to_do(subject, status, decision, now_seconds)),
    ]
    shown = [[title, *lines] if title else lines for title, lines in blocks if lines]
    return "\n\n".join("\n".join(lines) for lines in shown) + "\n"


def _headline(
    subject: Subject, status: WorkloadOptimizerStatus, decision: LastDecision, now_seconds: float
) -> list[str]:
    told = [subject.name, status.target or "no target", status.phase or "not looked at yet"]
    lines = ["  ".join(told), *folded(_verdict(subject, status, decision, now_seconds), "", "")]
    if decision.time is not None:
        when = f"Written {duration(age(decision.time, now_seconds))} ago, at {clock(decision.time)}"
        named = f": decision {decision.id}, as in the Event and the log" if decision.id else ""
        lines += folded(f"{when}{named}. What only repeats itself is written every five minutes.")
    return lines


def _verdict(subject: Subject, status: WorkloadOptimizerStatus, decision: LastDecision, now_seconds: float) -> str:
    """The one sentence that matters."""
    if subject.deleted is not None or _is_restoring(status):
        return _deletion(subject, status, now_seconds)
    if status.last_decision is None and not status.conditions:
        return "Nothing has been decided yet: the operator has not written a status."
    ready, wanted = condition(status, conditions.READY), decision.desired_replicas
    reason = ready.reason if ready else ""
    if ready is not None and ready.status == "False" and (wanted is None or reason in ("InvalidSpec", "InternalError")):
        before = "" if wanted is None else " What follows was decided before that."
        return f"Nothing can be decided, {reason}: {ready.message}.{before}"
    if wanted is None:
        return "Nothing has been decided yet."
    if reason == "NamespaceExcluded" and ready is not None:
        return f"Not scaled, {reason}: {ready.message}."
    if decision.hold_reason:
        since = _held_since(status, decision)
        lasted = f" for {duration(age(since, now_seconds))}" if since is not None else ""
        return f"Held at {replicas(wanted)}{lasted}, {decision.hold_reason}: {_hold_sentence(status, decision)}."
    if ready is not None and reason.startswith("Scale"):
        return f"Decided, but not carried out: {ready.message}."
    return _outcome(status, decision, wanted)


def _is_restoring(status: WorkloadOptimizerStatus) -> bool:
    ready = condition(status, conditions.READY)
    return ready is not None and ready.reason == "Deleting"


def _deletion(subject: Subject, status: WorkloadOptimizerStatus, now_seconds: float) -> str:
    """The operator says what it still does; where it has nothing to do, others hold the object."""
    lasted = f" for {duration(age(subject.deleted, now_seconds))}" if subject.deleted is not None else ""
    ready = condition(status, conditions.READY)
    if ready is not None and _is_restoring(status):
        return f"Being deleted{lasted}: {ready.message}."
    return f"Being deleted{lasted}: it stays until its finalizers are off. What follows was decided before that."


def _held_since(status: WorkloadOptimizerStatus, decision: LastDecision) -> datetime | None:
    """When both what holds and Ready turned bad: each alone may have been so for another reason before.

    None for Off and Paused: Ready is True with them as before, and no other condition tells one from the other.
    """
    held_by = _HELD_BY.get(decision.hold_reason or "", "")
    bad = [each for name in (conditions.READY, held_by) if (each := condition(status, name)) and is_bad(each)]
    return max(each.last_transition_time for each in bad) if held_by and bad else None


def _hold_sentence(status: WorkloadOptimizerStatus, decision: LastDecision) -> str:
    """What is missing, where that is the reason: the rule's own sentence counts seconds that have gone on since."""
    metrics = condition(status, conditions.METRICS_AVAILABLE)
    if metrics is not None and metrics.status == "False":
        return metrics.message
    steps = decision.steps or []
    told = (step.message for step in steps if step.reason == decision.hold_reason and step.message)
    return next(told, "nothing changes")


def _outcome(status: WorkloadOptimizerStatus, decision: LastDecision, wanted: int) -> str:
    had, why = decision.current_replicas, f" ({decision.reason})" if decision.reason else ""
    asked = max((each.replicas for each in decision.proposals or ()), default=wanted)
    though = f", though {asked} {'was' if asked == 1 else 'were'} asked for" if asked != wanted else ""
    if advised(status):
        same = "which is what runs" if wanted == had else f"{had} run"
        return f"{replicas(wanted)} recommended{though}{why}, {same}; mode Recommend writes nothing."
    if had == wanted:
        ready = status.ready_replicas
        serving = "" if ready is None or ready == wanted else f"; {ready} serve so far"
        return f"{replicas(wanted)} stay ordered{though}{why}{serving}."
    if decision.outcome == "Written" and decision.written_replicas == wanted:
        return f"Changed from {had} to {replicas(wanted)}{though}{why}."
    return f"To be changed from {had} to {replicas(wanted)}{though}{why}: {_so_far(decision)}."


def _so_far(decision: LastDecision) -> str:
    """What of a change has been written, and why not all of it."""
    if decision.outcome is not None and decision.outcome != "Written":
        return f"{decision.outcome}, {decision.outcome_message or 'not written'}"
    waits = [step.message for step in decision.steps or () if step.stage == "stage" and step.message]
    written = "nothing is written yet" if decision.outcome is None else f"{decision.written_replicas} are written"
    return "; ".join([written, *waits])


def _runs(status: WorkloadOptimizerStatus, now_seconds: float) -> list[str]:
    rows: list[tuple[str, str]] = []
    if status.replicas is not None or status.ready_replicas is not None:
        rows.append(
            ("replicas", f"{_or_unknown(status.ready_replicas)} serve of {_or_unknown(status.replicas)} that exist")
        )
    if status.placement:
        places = ", ".join(
            f"{each.replicas} on {each.node or each.pool or 'an unnamed node'}" for each in status.placement
        )
        rows.append(("where", places))
    used = [f"{status.current_cost:,.2f} $/h"] if status.current_cost is not None else []
    used += [f"{status.current_power:,.0f} W"] if status.current_power is not None else []
    if used:
        rows.append(("they take", ", ".join(used)))
    if status.optimization_score is not None:
        rows.append(("score", f"{status.optimization_score:.2f} (1 is all demand served at the least feasible cost)"))
    if status.savings is not None and status.savings.usd is not None:
        rows.append(
            ("saved", f"{status.savings.usd:,.2f} $ so far against the baseline {status.savings.baseline or '?'}")
        )
    if status.last_optimization_time is not None:
        changed = status.last_optimization_time
        rows.append(("last change", f"{duration(age(changed, now_seconds))} ago, at {clock(changed)}"))
    return table(rows)


def _or_unknown(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)


def _unknown(status: WorkloadOptimizerStatus, decision: LastDecision, now_seconds: float) -> list[str]:
    alike: dict[str, list[str]] = {}
    for each in status.conditions or ():
        if _is_idle(each, status, decision):
            continue
        if each.status == "Unknown" or (each.status == "False" and each.type.endswith(("Known", "Available"))):
            since = each.last_transition_time
            told = f"since {clock(since)} ({duration(age(since, now_seconds))}): {each.message}"
            alike.setdefault(told, []).append(each.type)
    rows = [(", ".join(names), told) for told, names in alike.items() if len(names) == 1]
    rows += [("several", f"{told} ({', '.join(names)})") for told, names in alike.items() if len(names) > 1]
    rows += [(given.name, given.note or "no value") for given in decision.inputs or () if given.value is None]
    return table(rows)


def _to_do(subject: Subject, status: WorkloadOptimizerStatus, decision: LastDecision, now_seconds: float) -> list[str]:
    lines = [
        line for text in _about_the_operator(subject, status, decision, now_seconds) for line in folded(f"- {text}")
    ]
    for left, way_out in held_back(status, decision):
        lines += [*folded(f"- {left}"), *folded(way_out, "    ", "")]
    for each in status.conditions or ():
        if is_bad(each) and not _not_asked(each, decision) and not _is_idle(each, status, decision):
            since = duration(age(each.last_transition_time, now_seconds))
            # A sentence that the conditions below tell as well is told once, and by those: it counted seconds then.
            message = "" if follows(each) else f": {each.message}"
            lines += folded(f"- {each.type}={each.status} ({each.reason}) for {since}{message}")
            lines += folded(advice(each), "    ", "")
    if not lines and status.conditions:
        return ["  Nothing: every condition is as it should be."]
    return lines


def _not_asked(seen: Condition, decision: LastDecision) -> bool:
    """Nobody forecasts what is only observed, or has no load that is looked at; that needs no mending."""
    return seen.type == conditions.FORECAST_TRUSTED and decision.hold_reason in ("Off", "Paused", "NothingToScaleOn")


def _is_idle(seen: Condition, status: WorkloadOptimizerStatus, decision: LastDecision) -> bool:
    """A replica's price and draw are read where it runs; while none does, nothing is wrong with either.

    Unless a limit lets none run for the very reason that they are not known.
    """
    if seen.type not in (conditions.PRICE_KNOWN, conditions.POWER_KNOWN):
        return False
    frozen = any(cap.binding and cap.used is None for cap in decision.caps or ())
    return not frozen and (status.replicas == 0 or decision.hold_reason == "Paused")


def _about_the_operator(
    subject: Subject, status: WorkloadOptimizerStatus, decision: LastDecision, now_seconds: float
) -> Iterator[str]:
    if status.last_decision is None and not status.conditions:
        yield (
            "See whether the operator runs and watches this namespace (WATCH_NAMESPACE), and what its log says. A new "
            "optimizer is decided within seconds."
        )
    if subject.deleted is not None:
        # Its generation has risen with the deletion, and a status is written only while there is a count to restore.
        if age(subject.deleted, now_seconds) > RELEASED_SECONDS:
            yield (
                "The operator takes its finalizer kcloud.io/restore-replicas off within about a minute: if it is still "
                "there, see whether the operator runs. Other finalizers are for their owners to take off."
            )
        return
    if decision.time is not None and (late := age(decision.time, now_seconds)) > LATE_SECONDS:
        yield (
            f"The status is {duration(late)} old, though the operator writes it at least every five minutes: see "
            "whether it runs, is the leader and reaches the API server."
        )
    seen = status.observed_generation
    if seen is not None and subject.generation is not None and seen < subject.generation:
        yield (
            f"The spec has changed since (generation {subject.generation}, decided on {seen}): the next cycle takes "
            "it up. If it does not, see the operator's log."
        )
