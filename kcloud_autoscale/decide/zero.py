"""Zero replicas: what wakes a target, how long the last replica stays, and whose zero it is.

Where `minReplicas` is 0 the last replica goes after a quiet time without any demand, and the first comes back within
the cycle that sees demand, or before it where the forecast tells of it. That takes a signal which lives without pods:
a gateway, a queue, a query over either. What the pods themselves export dies with them, and nothing would wake them.
"""

from __future__ import annotations

from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import Stage, Step
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy, demand_lives_without_pods, wakes
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.state import DecisionState

WOKEN, COOLING, NO_SIGNAL = "WokenUp", "CoolingDown", "NoSignalAtZero"
_COOLING_TEXT = "without demand for {:.0f} s: the last replica goes after {:g} s of it"
_NO_SIGNAL_TEXT = "one replica stays: {}"
_PODS_OWN = "what it is scaled on comes from its own pods and would end with them; give it a signal that lives without"
_WENT_SILENT = "at 0 replicas its signal was gone; with another one in the spec it may sleep again"


def paused(policy: WorkloadPolicy, state: DecisionState, target: TargetObservation) -> bool:
    """Whether somebody else has set the target to 0, who wants it to stay there until he sets it to 1.

    A zero is ours where the API server says that we wrote it, or where we remember to have decided it. Without either,
    as at adoption, it is taken for a target asleep where `minReplicas` is 0: a pause that was missed costs a replica,
    a sleep that was missed would never end.
    """
    if target.desired_replicas > 0 or target.replicas_are_ours:
        return False
    return policy.min_replicas > 0 if state.asleep is None else not state.asleep


def asleep_after(paused_now: bool, asked: int) -> bool:
    """What to remember of it: a zero that is asked for. Once a count is, a zero is somebody else's."""
    return not paused_now and asked == 0


def idle(case: Case, demand: float | None, complete: bool, metrics: dict[str, float]) -> bool:
    """Nobody asks anything: every signal that could wake the target is known to be exactly 0."""
    known = [metrics.get(target.name) for target in case.policy.targets if wakes(target)]
    if demand_lives_without_pods(case.policy):
        known.append(demand)
    return complete and bool(known) and all(value == 0.0 for value in known)


def last_replica(case: Case, idle_since_seconds: float | None, now_seconds: float) -> Step | None:
    """The step that keeps one replica where the rules so far would keep none; None where it may go."""
    policy, state = case.policy, case.state.decided
    reason = _no_signal(case)
    if reason:
        return Step(Stage.STABILIZE, 0, 1, NO_SIGNAL, _NO_SIGNAL_TEXT, (reason,))
    if state.kept_awake_generation == policy.generation:
        return Step(Stage.STABILIZE, 0, 1, NO_SIGNAL, _NO_SIGNAL_TEXT, (_WENT_SILENT,))
    quiet = 0.0 if idle_since_seconds is None else now_seconds - idle_since_seconds
    if idle_since_seconds is not None and quiet >= policy.cooldown_seconds:
        return None
    return Step(Stage.STABILIZE, 0, 1, COOLING, _COOLING_TEXT, (quiet, policy.cooldown_seconds))


def first_replica() -> Step:
    """No window and no rate limit holds back the first one: nobody is served meanwhile."""
    return Step(
        Stage.STABILIZE, 0, 1, WOKEN, "there is demand, and nothing runs: the first replica waits for no window"
    )


def silent_at_zero(case: Case, unknown_seconds: float) -> Step | None:
    """The step to one replica where the signal has gone with the pods; None while it is a matter of waiting.

    A source that does not answer says nothing of the signal: that is held, as everywhere.
    """
    readings = [case.seen.demand, *(metric.total for metric in case.seen.metrics)]
    reasons = {reading.reason for reading in readings if isinstance(reading, Missing)}
    if MissingReason.SOURCE_ERROR in reasons or unknown_seconds < case.policy.cooldown_seconds:
        return None
    text = "at 0 replicas nothing has told of the demand for {:g} s: one replica, so that it is not asleep for ever"
    return Step(Stage.GUARD, 0, 1, NO_SIGNAL, text, (case.policy.cooldown_seconds,))


def _no_signal(case: Case) -> str:
    waking = demand_lives_without_pods(case.policy) and not case.seen.demand_of_pods
    return "" if waking or any(wakes(target) for target in case.policy.targets) else _PODS_OWN
