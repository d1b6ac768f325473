"""What a cycle leaves behind: statuses, Events, metrics and a log line per change, all with the decision's id."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kcloud_autoscale.act.announce import events_of
from kcloud_autoscale.act.events import Event, EventWriter
from kcloud_autoscale.act.policy_status import broken_policy_status, policy_status
from kcloud_autoscale.act.status import Outcome, broken_status, workload_status
from kcloud_autoscale.act.status_decision import why
from kcloud_autoscale.act.status_writer import StatusWriter
from kcloud_autoscale.api.conditions import FORECAST_TRUSTED, READY
from kcloud_autoscale.api.effect import fields_honoured
from kcloud_autoscale.api.v1alpha1 import CostPolicy
from kcloud_autoscale.decide.refusal import not_scaled
from kcloud_autoscale.domain.decision import ConditionFact, Decision, ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.observation import Observation
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.operator.deletion import deleting
from kcloud_autoscale.operator.exclusion import exclusion
from kcloud_autoscale.operator.fleet import Fleet, ref_of
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.sources import SourceLog
from kcloud_autoscale.operator.store import Body
from kcloud_autoscale.tick import TickResult

logger = logging.getLogger(__name__)

# A write that waits longer than this for its turn is worth a look: the budget of writes is too small for the fleet.
LATE_SECONDS = 180.0


class Recorder:
    """Hands everything to its writer; nothing here waits for the network."""

    def __init__(self, statuses: StatusWriter, events: EventWriter, metrics: Metrics) -> None:
        self._statuses = statuses
        self._events = events
        self._metrics = metrics
        self._sources = SourceLog()
        self._uids: dict[WorkloadKey, str] = {}

    def record(
        self,
        fleet: Fleet,
        observation: Observation,
        ticked: TickResult,
        results: Sequence[ScaleResult],
        untaught: Mapping[str, str],
    ) -> None:
        """Record one cycle; ``untaught`` says of what the forecast worker died, by name of the workload."""
        by_key = {result.action.key: result for result in results}
        outcomes = {
            decision.key: _outcome(
                fleet, observation, ticked, decision, by_key.get(decision.key), untaught.get(str(decision.key))
            )
            for decision in ticked.fleet.decisions
            if decision.key in fleet.bodies
        }
        _log_untried(results)
        self._events.scaled(sum(result.outcome.tried for result in results))
        for key, outcome in outcomes.items():
            self._workload(fleet, key, outcome, ticked, by_key.get(key))
        self._policies(fleet, ticked, observation.at_seconds)
        for body, message in fleet.invalid:
            self._broken(body, "InvalidSpec", message, observation.at_seconds)
        self._sources.note(observation.problems)
        self._count(fleet, observation, outcomes, results)

    def set_aside(self, fleet: Fleet, reasons: Mapping[WorkloadKey, str], now_seconds: float) -> None:
        """Say of each workload that broke the tick that nothing is decided for it, and why."""
        for key, reason in reasons.items():
            self._broken(fleet.bodies[key], "InternalError", f"deciding failed: {reason}", now_seconds)

    def _workload(
        self, fleet: Fleet, key: WorkloadKey, outcome: Outcome, ticked: TickResult, result: ScaleResult | None
    ) -> None:
        ref, previous = ref_of(fleet.bodies[key]), fleet.status_of(key)
        for event in events_of(ref, outcome, result, previous):
            self._events.post(event)
        if result is not None and result.outcome.tried:
            _log(outcome.decision, result)
        self._statuses.want(ref, workload_status(outcome, previous, ticked.state.workloads[key]))

    def _policies(self, fleet: Fleet, ticked: TickResult, now_seconds: float) -> None:
        for policy, body, members in fleet.policies:
            spend = ticked.state.spends.get(policy.metadata.name) if isinstance(policy, CostPolicy) else None
            previous = body.get("status", {})
            status = policy_status(policy, members, ticked.accounts, previous, now_seconds, spend)
            self._statuses.want(ref_of(body), status)

    def _broken(self, body: Body, reason: str, message: str, now_seconds: float) -> None:
        ref, previous = ref_of(body), body.get("status", {})
        generation = int(body["metadata"].get("generation", 0))
        build = broken_status if ref.kind == "WorkloadOptimizer" else broken_policy_status
        self._statuses.want(ref, build(previous, reason, message, generation, now_seconds))
        self._events.post(Event(ref, reason, message, "Resolve", warning=True, lasting=True))

    def _count(
        self,
        fleet: Fleet,
        observation: Observation,
        outcomes: Mapping[WorkloadKey, Outcome],
        results: Sequence[ScaleResult],
    ) -> None:
        metrics = self._metrics
        metrics.workloads.set(len(outcomes))
        metrics.invalid_objects.set(len(fleet.invalid))
        metrics.source_problems.set(len(observation.problems))
        metrics.events_dropped.set(self._events.dropped)
        metrics.statuses_incomplete.set(self._statuses.repair.incomplete)
        uids = {key: str(fleet.bodies[key]["metadata"]["uid"]) for key in outcomes}
        gone = {key: uid for key, uid in self._uids.items() if uids.get(key) != uid}
        metrics.collector.counters.forget(gone)
        metrics.collector.take(outcomes)
        for result in results:
            metrics.scale_outcomes.labels(result.outcome.value).inc()
            if result.written:
                key, action = result.action.key, result.action
                direction = "up" if action.to_replicas > action.from_replicas else "down"
                metrics.collector.counters.scaled(key, direction)
        self._statuses.forget(set(gone.values()))
        self._uids = uids


def _outcome(
    fleet: Fleet,
    observation: Observation,
    ticked: TickResult,
    decision: Decision,
    result: ScaleResult | None,
    untaught: str | None,
) -> Outcome:
    seen = observation.workloads.get(decision.key)
    return Outcome(
        policy=fleet.policy.workloads[decision.key],
        # Outcomes live until the next cycle's: with the histories of 99 new workloads that would be 16 MB.
        seen=None if seen is None else replace(seen, demand_history=None, capacity_history=()),
        decision=decision,
        account=ticked.accounts.get(decision.key),
        result=result,
        facts=(
            *exclusion(decision.key, fleet.excluded),
            *deleting(fleet, decision.key),
            *not_written(result, decision.at_seconds),
            *teaching_failed(decision, untaught),
            fields_honoured(fleet.optimizers[decision.key]),
        ),
    )


def teaching_failed(decision: Decision, death: str | None) -> tuple[ConditionFact, ...]:
    """Why nobody forecasts it, where that is known; one that is taught anew only still has its old forecasts."""
    if death is None or decision.forecast is not None:
        return ()
    message = f"its history cannot be learned, so decisions are reactive: each time, the forecast worker {death}"
    return (ConditionFact(FORECAST_TRUSTED, False, "TeachingFailed", message),)


def not_written(result: ScaleResult | None, now_seconds: float) -> tuple[ConditionFact, ...]:
    """A decision that was not carried out says so in Ready; one that cannot be, or waits for long, is not Ready."""
    if result is None or result.written:
        return ()
    action, reason = result.action, f"Scale{result.outcome}"
    text = not_scaled(action.target, action.from_replicas, action.to_replicas, result.message)
    late = not result.outcome.tried and now_seconds - action.waiting_since_seconds >= LATE_SECONDS
    if result.outcome in (ScaleOutcome.REFUSED, ScaleOutcome.FAILED, ScaleOutcome.GONE) or late:
        return (ConditionFact(READY, False, reason, text),)
    return (ConditionFact(READY, True, reason, f"decided from current data, but {text}"),)


def _log(decision: Decision, result: ScaleResult) -> None:
    action = result.action
    level = logging.INFO if result.outcome in (ScaleOutcome.WRITTEN, ScaleOutcome.DRY_RUN) else logging.WARNING
    logger.log(
        level,
        "%s: %s %d -> %d: %s%s. %s (decision %s)",
        action.key,
        action.target,
        action.from_replicas,
        action.to_replicas,
        result.outcome.value,
        f" ({result.message})" if result.message else "",
        why(result, decision),
        decision.id,
    )


def _log_untried(results: Sequence[ScaleResult]) -> None:
    """One line for all whose turn did not come, for each reason: in a step of load they are hundreds."""
    reasons = Counter((result.outcome.value, result.message) for result in results if not result.outcome.tried)
    for (outcome, message), count in reasons.items():
        logger.warning("%d of %d writes of this cycle: %s (%s)", count, len(results), outcome, message)
