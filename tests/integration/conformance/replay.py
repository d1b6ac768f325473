"""The same syncs, shown to our statements of HPA: what each would have set after every one of them.

Each is told what the controller saw and what became of its earlier decisions, and remembers its own recommendations:
a difference shows at the sync where it arises. The controller reads its clock a little after it has asked, so that
what happened between two syncs is known to `CLOCK_SECONDS`: where a window ends within that of a sync, the counts on
either side of its end are right.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.observation import (
    NOT_ASKED,
    MetricObservation,
    PodObservation,
    PodPhase,
    Pods,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.policy import (
    FleetPolicy,
    MetricKind,
    MetricTarget,
    ScalingRules,
    WorkloadPolicy,
    default_scale_down,
    default_scale_up,
)
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.state import DecisionState, Recommendation, ScaleEvent, WorkloadState
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.simulate import policies
from kcloud_autoscale.simulate.world import World as SimulatedWorld
from kcloud_autoscale.simulate.world import WorldRules
from tests import hpa_reference as reference
from tests.integration.conformance.scenarios import DOWN_WINDOW_SECONDS, SYNC_SECONDS
from tests.integration.conformance.script import Fault, Played, Scenario, SeenPod, Sync

KEY = WorkloadKey("conformance", "workload")
CLOCK_SECONDS = 0.1
CLOCKS = (-CLOCK_SECONDS, CLOCK_SECONDS, 0.0)
MILLISECOND = 0.001
Counts = list[set[int]]


def decided(played: Played) -> Counts:
    """What `decide` does without a forecast, but for its own wait after it knew nothing: all data count as good."""
    policy = _policy(played.scenario)
    fleet = FleetPolicy({KEY: policy}, cycle_seconds=SYNC_SECONDS)
    recommendations: tuple[Recommendation, ...] = ()
    counts: Counts = []
    for sync in played.syncs[:-1]:
        events = tuple(ScaleEvent(at, change) for at, change in played.changes_before(sync))
        state = DecisionState(0.0, good_since_seconds=0.0, recommendations=recommendations, scale_events=events)
        case = _case(policy, state, sync, played.scenario.window_seconds)
        outcomes = [decide_fleet([case], fleet, sync.at_seconds + clock) for clock in CLOCKS]
        asked = [outcome.fleet.decisions[0].desired_replicas for outcome in outcomes]
        counts.append({sync.world.replicas if count is None else count for count in asked})
        recommendations = outcomes[-1].states[0].recommendations
    return counts


def _policy(scenario: Scenario) -> WorkloadPolicy:
    per_pod = scenario.kind is MetricKind.UTILIZATION
    targets = tuple(
        MetricTarget(scenario.resource if per_pod else f"m{index}", scenario.kind, target)
        for index, target in enumerate(scenario.targets)
    )
    up, down = scenario.up or default_scale_up(), scenario.down or default_scale_down()
    return WorkloadPolicy(
        KEY, min_replicas=scenario.least, max_replicas=scenario.most, targets=targets, scale_up=up, scale_down=down
    )


def _case(policy: WorkloadPolicy, state: DecisionState, sync: Sync, window: float) -> Case:
    pods = Pods(_pod(pod) for pod in sync.world.pods)
    target = TargetObservation(TargetRef("apps/v1", "Deployment", "workload"), "", "", sync.world.replicas, pods)
    metrics = tuple(
        MetricObservation(metric.name, _reading(metric, value, sync.at_seconds), _per_pod(metric, value, sync), window)
        for metric, value in zip(policy.targets, sync.phase.values, strict=True)
    )
    seen = WorkloadObservation(KEY, target, metrics=metrics)
    return Case(policy, seen, WorkloadState(state), None, 0.0, "spec", None, "unknown", NOT_ASKED, NOT_ASKED)


def _pod(pod: SeenPod) -> PodObservation:
    return PodObservation(
        pod.name,
        0.0,
        pod.changed_seconds if pod.ready else None,
        node="n1",  # the stage's pods are all given to one
        deleting=pod.deleting,
        phase=PodPhase(pod.phase),
        started_seconds=pod.started_seconds,
        unready_seconds=None if pod.ready else pod.changed_seconds,
    )


def _reading(metric: MetricTarget, value: float | Fault, now: float) -> Reading:
    if isinstance(value, Fault):
        return Missing(MissingReason.NO_DATA)
    return Sample(value / 100 if metric.kind is MetricKind.UTILIZATION else value, now)


def _per_pod(metric: MetricTarget, value: float | Fault, sync: Sync) -> dict[str, float]:
    if metric.kind is not MetricKind.UTILIZATION or isinstance(value, Fault):
        return {}
    return dict.fromkeys(sync.metered, value / 100)


def referred(played: Played) -> Counts:
    """What the independent statement of HPA's rules sets."""
    scenario = played.scenario
    controller = _controller(scenario)
    counts: Counts = []
    for sync in played.syncs[:-1]:
        now, current = sync.at_seconds, sync.world.replicas
        asked = [_asked(scenario, sync, index) for index in range(len(scenario.targets))]
        wanted = max((count for count in asked if count is not None), default=None)
        controller.found(now, current)
        if wanted is None or (None in asked and wanted < current):
            counts.append({current})
        else:
            changes = played.changes_before(sync)
            controller.added = [(at, change) for at, change in changes if change > 0]
            controller.removed = [(at, -change) for at, change in changes if change < 0]
            trials = [copy.deepcopy(controller).sync(now + clock, current, wanted) for clock in CLOCKS]
            counts.append({*trials, controller.sync(now, current, wanted)})
    return counts


def _controller(scenario: Scenario) -> reference.Controller:
    if scenario.up is None or scenario.down is None:
        none, window = reference.Rules(0, []), reference.Rules(round(DOWN_WINDOW_SECONDS), [])
        return reference.WithoutBehavior(none, window, scenario.least, scenario.most)
    return reference.Controller(_rules(scenario.up), _rules(scenario.down), scenario.least, scenario.most)


def _rules(rules: ScalingRules) -> reference.Rules:
    policies = [
        (round(each.period_seconds), "Percent", each.percent or 0)
        if each.pods is None
        else (round(each.period_seconds), "Pods", each.pods)
        for each in rules.policies
    ]
    return reference.Rules(round(rules.stabilization_window_seconds), policies, rules.select.value)


def _asked(scenario: Scenario, sync: Sync, index: int) -> int | None:
    value, target, world = sync.phase.values[index], round(scenario.targets[index] * 1000), sync.world
    if isinstance(value, Fault):
        return None
    band = reference.Band()
    if scenario.up is not None and scenario.down is not None:
        up, down = Fraction(str(scenario.up.tolerance_fraction)), Fraction(str(scenario.down.tolerance_fraction))
        band = reference.Band(up, down)
    if scenario.kind is MetricKind.AVERAGE_VALUE:
        return reference.average_value(round(value * 1000), target, world.status_replicas, band)
    if scenario.kind is MetricKind.VALUE:
        return reference.value(round(value * 1000), target, world.replicas, world.serving, band)
    resource = None if scenario.resource == "gpu" else scenario.resource
    metric = reference.Metric(resource, sync.at_seconds, scenario.window_seconds)
    pods = [_referred_pod(pod, round(value * 10) if pod.name in sync.metered else None) for pod in world.pods]
    return reference.per_pod(pods, metric, target, world.replicas, band)


def _referred_pod(pod: SeenPod, milli: int | None) -> reference.Pod:
    ready = None if pod.changed_seconds is None else pod.ready
    changed = pod.changed_seconds or 0.0
    return reference.Pod(ready, milli, pod.deleting, pod.phase, pod.started_seconds, changed)


def simulated(played: Played) -> Counts:
    """What the baseline of `simulate` sets, in steps of a millisecond."""
    scenario = played.scenario
    rules = WorldRules(1.0, scenario.startup_seconds, min_replicas=scenario.least, max_replicas=scenario.most)
    baseline: policies.Hpa | policies.Keda
    if scenario.kind is MetricKind.UTILIZATION:
        baseline = policies.Hpa(rules, MILLISECOND, target=scenario.targets[0])
    else:
        rules = replace(rules, capacity_per_replica=scenario.targets[0])
        baseline = policies.Keda(rules, MILLISECOND, target=1.0)
    window = DOWN_WINDOW_SECONDS if scenario.down is None else scenario.down.stabilization_window_seconds
    baseline.window = policies.DownWindow(round(window / MILLISECOND))
    counts: Counts = []
    for sync in played.syncs[:-1]:
        world = SimulatedWorld(sync.world.replicas, sync.world.ready, 0, [])
        steps = [round((sync.at_seconds + clock) / MILLISECOND) for clock in CLOCKS]
        known = np.array([_load(scenario, sync)])
        trials = [copy.deepcopy(baseline).decide(step, known, world)[0] for step in steps]
        counts.append({*trials, baseline.decide(steps[-1], known, world)[0]})
    return counts


def _load(scenario: Scenario, sync: Sync) -> float:
    """The demand that gives the pods this utilization; unknown where the metric was."""
    value = sync.phase.values[0]
    if isinstance(value, Fault):
        return math.nan
    return value / 100 * sync.world.ready if scenario.kind is MetricKind.UTILIZATION else value
