"""What the real HPA and our statements of it are shown.

The controller syncs every 0.8 s and its own scale-down window is 5 s; behaviors are shortened alike. Their windows and
periods are whole seconds, between two syncs each, 4 s excepted, which is left out. Counts stay at or below 10, so that
no `status.replicas` on its way to a new count is within a tenth of it.
"""

from __future__ import annotations

from kcloud_autoscale.domain.policy import MetricKind, PolicySelect, RatePolicy, ScalingRules
from tests.integration.conformance.script import (
    Condition,
    Fault,
    Phase,
    Pose,
    Scenario,
    Value,
    leaving,
    settled,
    starting,
)

SYNC_SECONDS = 0.8
DOWN_WINDOW_SECONDS = 5.0
ANY = (RatePolicy(1.0, percent=1000),)
FREE = ScalingRules(0.0, ANY)
FREE_DOWN = ScalingRules(0.0, (RatePolicy(1.0, percent=100),))
SHARED, ONE_NUMBER, UTILIZATION = MetricKind.AVERAGE_VALUE, MetricKind.VALUE, MetricKind.UTILIZATION


def window(seconds: float, up: bool = False) -> ScalingRules:
    return ScalingRules(seconds, ANY if up else FREE_DOWN.policies)


def rate(*policies: RatePolicy, select: PolicySelect = PolicySelect.MAX) -> ScalingRules:
    return ScalingRules(0.0, policies, select)


def held(*values: Value, asks: int = 3) -> tuple[Phase, ...]:
    """Each value for a while."""
    return tuple(Phase((value,), asks) for value in values)


def pulses(neutral: float, *values: Value, asks: int = 1) -> tuple[Phase, ...]:
    """Each value for one sync of a settled world, and between them the one at which nothing changes."""
    phases = [Phase((neutral,), 2)]
    for value in values:
        phases += [Phase((value,), asks, settled), Phase((neutral,), 2)]
    return (*phases, Phase((neutral,), 1, settled))


DISABLED = ScalingRules(0.0, ANY, PolicySelect.DISABLED)

LOADS = (
    # Up to the ceiling of 10 and down to the floor of 2, at 10 each.
    Scenario("ramp", SHARED, (10,), 3, held(30, 40, 60, 90, 120, 80, 50, 21, 5, 0, asks=2), FREE, FREE_DOWN, least=2),
    # 4 to 8 at once, and back to 4 when the window has passed.
    Scenario("burst", SHARED, (10,), 4, (*held(40), *held(80, asks=2), *held(40, asks=9)), FREE, window(5)),
    # No `behavior` at all: the controller's own window, and at most twice as many per sync.
    Scenario("plain", SHARED, (10,), 4, (*held(40), *held(80, asks=2), *held(30, asks=9), *held(35)), None, None),
    # 3 to 10 in one step is cut to 6; the 10 that was wanted holds for the window, though 5 are wanted from then on.
    Scenario("plain-jump", SHARED, (10,), 3, (*held(30), *held(100, asks=1), *held(50, asks=9)), None, None),
    # At 4 x 10, 36 and 44 are exactly a tenth off and stay; 44.1 asks for 5, and at 5 45 stays while 39 asks for 4.
    Scenario("noise", SHARED, (10,), 4, held(44, 36, 43, 37, 44, 44.1, 45, 54, 39, 36.5, asks=2), FREE, FREE_DOWN),
    # Tolerances of their own: 2 % above, 50 % below.
    Scenario(
        "tolerance",
        SHARED,
        (10,),
        4,
        held(40.7, 41, 27, 24, 31, 31.5, asks=2),
        ScalingRules(0.0, ANY, tolerance_fraction=0.02),
        ScalingRules(0.0, FREE_DOWN.policies, tolerance_fraction=0.5),
    ),
)
NUMBERS = (
    # Latency of 300 against 200 on 4 is 6; 216 stays; 80 on 6 is ceil(2.4).
    Scenario("latency", ONE_NUMBER, (200,), 4, pulses(200, 300, 216, 80), FREE, FREE_DOWN),
    # 2 Ready of 4: 1.5 on the 2 that are Ready asks for 3, fewer than the 4 there are.
    Scenario(
        "latency-starting",
        ONE_NUMBER,
        (200,),
        2,
        (
            *(Phase((200,), 2), Phase((400,), 1, settled), Phase((200,), 1)),
            *(Phase((300,), 1, starting(2)), Phase((200,), 2), Phase((200,), 1, settled)),
        ),
        FREE,
        FREE_DOWN,
        startup_seconds=10.0,
    ),
    # 6 are cut to 3, and while the other 3 shut down the controller counts them: 1.5 on 6 asks for 9.
    Scenario(
        "latency-leaving",
        ONE_NUMBER,
        (200,),
        6,
        (
            *(Phase((200,), 2), Phase((90,), 1, settled), Phase((200,))),
            *(Phase((300,), 1, leaving(3)), Phase((200,), 2)),
        ),
        FREE,
        FREE_DOWN,
        shutdown_seconds=15.0,
    ),
    # No pod is Ready: 1.5 on none asks for none, and the floor remains.
    Scenario("latency-dark", ONE_NUMBER, (200,), 3, held(200, 300, 200, asks=2), FREE, FREE_DOWN, posed=3),
)
# Where `decide` parts from HPA on purpose: sync shown, HPA's count, ours.
OTHERWISE = {
    # What is on its way out serves no new request, and is no reason to add three times what is missing.
    "latency-leaving": (300, 9, 5),
    # A number that no pod stands behind tells nothing: nothing changes.
    "latency-dark": (300, 1, 3),
}
UNKNOWNS = (
    # An error and an empty answer hold, whatever was asked for before.
    Scenario("missing", SHARED, (10,), 3, held(30, 50, Fault.ERROR, 20, Fault.EMPTY, 60, Fault.ERROR), FREE, FREE_DOWN),
    # What was wanted before an outage counts in the window after it; what was not known does not.
    Scenario(
        "missing-window",
        SHARED,
        (10,),
        6,
        (*held(60), *held(Fault.ERROR, asks=3), *held(30, asks=6), *held(Fault.EMPTY, asks=6), *held(20, asks=8)),
        FREE,
        window(5),
    ),
    # The larger of two; with one unknown the other may only raise the count.
    Scenario(
        "two",
        SHARED,
        (10, 100),
        3,
        tuple(
            Phase(values, 2)
            for values in (
                *((30, 300), (50, 300), (50, 700), (20, 400)),
                *((Fault.ERROR, 600), (Fault.ERROR, 300), (20, Fault.EMPTY), (80, Fault.EMPTY)),
                *((Fault.ERROR, Fault.EMPTY), (20, 200)),
            )
        ),
        FREE,
        FREE_DOWN,
    ),
    # An up window, and one metric unknown while the other asks for less: nothing was recommended.
    Scenario(
        "two-window",
        SHARED,
        (10, 100),
        5,
        tuple(Phase(values, 3) for values in ((50, 500), (Fault.ERROR, 200), (80, 500), (80, 800), (80, 800))),
        window(3, up=True),
        FREE_DOWN,
    ),
)
PODS, HALF = RatePolicy(3.0, pods=2), RatePolicy(3.0, percent=50)
BEHAVIORS = (
    Scenario("up-max", SHARED, (10,), 2, held(20, *[100] * 5), rate(PODS, HALF), FREE_DOWN),
    Scenario("up-min", SHARED, (10,), 2, held(20, *[100] * 6), rate(PODS, HALF, select=PolicySelect.MIN), FREE_DOWN),
    Scenario("down-max", SHARED, (10,), 10, held(100, *[10] * 5), FREE, rate(PODS, HALF)),
    Scenario("down-min", SHARED, (10,), 10, held(100, *[10] * 7), FREE, rate(PODS, HALF, select=PolicySelect.MIN)),
    # 1 - 0.8 is a hair below 0.2 in binary, and the controller rounds down: four fifths of 10 leave 1.
    Scenario("down-percent", SHARED, (10,), 10, held(100, 1, 1), FREE, rate(RatePolicy(30.0, percent=80))),
    Scenario("disabled", SHARED, (10,), 4, held(40, 80, 20), DISABLED, DISABLED),
    # Kubernetes' own scale-up: the larger of 4 pods and 100 % per 15 s.
    Scenario(
        "default-up",
        SHARED,
        (10,),
        2,
        (*held(20), *held(100, asks=18)),
        rate(RatePolicy(15.0, pods=4), RatePolicy(15.0, percent=100)),
        FREE_DOWN,
    ),
    # Two policies over different periods, up and down in turn: what was taken away counts for what may be added.
    Scenario(
        "turns",
        SHARED,
        (10,),
        6,
        (*held(60, asks=1), *held(20, asks=5), *held(100, asks=12), *held(20, asks=7)),
        rate(RatePolicy(2.0, pods=2), RatePolicy(6.0, pods=5), select=PolicySelect.MIN),
        rate(RatePolicy(2.0, pods=3), RatePolicy(6.0, pods=4), select=PolicySelect.MIN),
    ),
)
WINDOWS = (
    # A peak of two syncs is not followed; one that stays is, to the smallest count that was wanted meanwhile.
    Scenario(
        "window-up",
        SHARED,
        (10,),
        3,
        (*held(30), *held(90, asks=2), *held(30, asks=4), *held(60, 90, 90)),
        window(3, up=True),
        FREE_DOWN,
    ),
    # What is found at the beginning counts as recommended then: 6 stay for a window, though 3 suffice from the start.
    Scenario("adopted", SHARED, (10,), 6, held(30, asks=10), FREE, window(5)),
    # Down to the largest count that was wanted in the window, in stairs.
    Scenario(
        "window-down",
        SHARED,
        (10,),
        10,
        (*held(100, 80, asks=2), *held(60, asks=7), *held(90, asks=2), *held(30, 10, asks=8)),
        FREE,
        window(5),
    ),
    # 10 are wanted and 5 allowed; while the 10 are remembered, a smaller need neither lowers the 5 nor raises them.
    Scenario(
        "cut-short",
        SHARED,
        (10,),
        3,
        (*held(30, asks=2), *held(100, asks=1), *held(30, asks=10)),
        rate(RatePolicy(2.0, pods=2)),
        window(5),
    ),
    # 2 and 9 are wanted in turn: no fall below what the 6 s have seen, no growth beyond what the 2 s have.
    Scenario(
        "window-both",
        SHARED,
        (10,),
        5,
        (*held(50, 20, asks=2), *held(90, asks=5), *held(20, 90, asks=2), *held(20, asks=10)),
        window(2, up=True),
        window(6),
    ),
)


def pulse(percent: Value, when: Condition = settled, missing: int = 0) -> tuple[Phase, Phase]:
    """One sync of a utilization, and then 70 % again, at which nothing changes."""
    return Phase((percent,), 1, when, missing), Phase((70,))


CALM = Phase((70,), 2)
RESOURCES = (
    # 105 % against 70 % on 4 is 6; 76 % and 77 % are within a tenth; 21 % of 6 is ceil(1.8).
    Scenario("cpu", UTILIZATION, (0.7,), 4, pulses(70, 105, 76, 77, 78, 21), FREE, FREE_DOWN),
    # 2 of 4 pending, and idle when the 2 that run ask for more: 98 % are 49 % of 4, 150 % are 75 %, and 4 stay; 182 %
    # are 91 %, and 6 are wanted. 30 % are of those that run alone, and ask for 1.
    Scenario(
        "cpu-starting",
        UTILIZATION,
        (0.7,),
        2,
        (
            *(CALM, *pulse(140), *pulse(98, starting(2)), *pulse(150, starting(2)), *pulse(182, starting(2))),
            *pulse(30, starting(4)),
            Phase((70,), 1, settled),
        ),
        FREE,
        FREE_DOWN,
        startup_seconds=20.0,
    ),
    # Of 4 one is not metered, and idle when that argues for less: 3 x 103 % are 77.25 % of 4, which the controller
    # takes for 77 %, within a tenth; 3 x 105 % are 78 % of 4: 5. With 2 missing 105 % would be 63 %: nothing changes.
    # At 35 % they count as fully busy: (4 x 35 + 100) / 5 is 48 %: 4; with 2 missing of 4 it is 67 %, with 3 a reason
    # for more: both change nothing.
    Scenario(
        "cpu-missing",
        UTILIZATION,
        (0.7,),
        4,
        (
            *(CALM, *pulse(103, missing=1), *pulse(105, missing=1), *pulse(105, missing=2)),
            *(*pulse(35, missing=1), *pulse(35, missing=2), *pulse(28, missing=3), Phase((70,), 1, settled)),
        ),
        FREE,
        FREE_DOWN,
    ),
    # Nothing is known of any pod: hold.
    Scenario("cpu-unknown", UTILIZATION, (0.7,), 3, pulses(70, Fault.EMPTY, 105, Fault.ERROR, 35), FREE, FREE_DOWN),
    # One of 4 runs but is not Ready: idle at 105 %, left out at 35 %.
    Scenario("cpu-unready", UTILIZATION, (0.7,), 4, pulses(70, 105, 35), FREE, FREE_DOWN, posed=1),
    Scenario("cpu-never", UTILIZATION, (0.7,), 4, pulses(70, 105, 35), FREE, FREE_DOWN, posed=1, pose=Pose.NEVER_READY),
    # It was Ready, and counts: 105 % on 4 is 6, and 35 % on 6 is 3.
    Scenario("cpu-lost", UTILIZATION, (0.7,), 4, pulses(70, 105, 35), FREE, FREE_DOWN, posed=1, pose=Pose.LOST),
    # 2 of 4 became Ready within the window: 105 % is 52.5 % of 4, which stay, 182 % is 91 %: 6. 35 % on 2 asks for 1.
    Scenario(
        "cpu-window",
        UTILIZATION,
        (0.7,),
        4,
        pulses(70, 105, 182, 35),
        FREE,
        FREE_DOWN,
        posed=2,
        pose=Pose.LONG_READY,
        window_seconds=600,
    ),
    # Nothing of the kind with memory: one that is not Ready counts, just started or not.
    Scenario(
        "memory-unready", UTILIZATION, (0.7,), 4, pulses(70, 105, 35), FREE, FREE_DOWN, posed=1, resource="memory"
    ),
)
# A number per pod of custom.metrics.k8s.io, as of a GPU: not cut to whole per cent, and never a matter of readiness.
NUMBERS_PER_POD = (
    # 77 % is exactly a tenth more, and 77.5 % beyond: 5.
    Scenario("gpu", UTILIZATION, (0.7,), 4, pulses(70, 105, 77, 77.5, 21), FREE, FREE_DOWN, resource="gpu"),
    Scenario("gpu-unready", UTILIZATION, (0.7,), 4, pulses(70, 105, 35), FREE, FREE_DOWN, posed=1, resource="gpu"),
    # 2 of 4 pending, as with CPU.
    Scenario(
        "gpu-starting",
        UTILIZATION,
        (0.7,),
        2,
        (CALM, *pulse(140), *pulse(98, starting(2)), *pulse(182, starting(2)), Phase((70,), 1, settled)),
        FREE,
        FREE_DOWN,
        startup_seconds=20.0,
        resource="gpu",
    ),
    # Of 4 one is not metered: idle at 105 %, 78.75 % of 4: 5. At 35 % it counts as on target, not as fully busy:
    # (4 x 35 + 70) / 5 is 42 %: 3. With 2 missing of 3, (35 + 140) / 3 is 58 %: ceil(2.5), and 3 stay.
    Scenario(
        "gpu-missing",
        UTILIZATION,
        (0.7,),
        4,
        (
            *(CALM, *pulse(105, missing=1), *pulse(35, missing=1), *pulse(35, missing=2)),
            Phase((70,), 1, settled),
        ),
        FREE,
        FREE_DOWN,
        resource="gpu",
    ),
)
ALL = (*LOADS, *NUMBERS, *UNKNOWNS, *BEHAVIORS, *WINDOWS, *RESOURCES, *NUMBERS_PER_POD)
# Why the baselines of `simulate`, which know no behavior but a scale-down window, cannot be shown a scenario.
NOT_SIMULATED = {
    "plain-jump": "grows without limit, more than twofold in one step",
    "tolerance": "has the tolerance of a tenth only",
    **{each.name: "is scaled on load, not on one number for the workload" for each in NUMBERS},
    **dict.fromkeys(("two", "two-window"), "has one metric"),
    **{each.name: "has no policies" for each in BEHAVIORS},
    **dict.fromkeys(("window-up", "window-both"), "has no scale-up window"),
    "cut-short": "has no policies",
    "cpu-missing": "has no pod that runs and is not metered",
    **{each.name: "has no pod that runs and does not serve" for each in RESOURCES if each.posed},
    **{each.name: "is scaled on the CPU that is requested" for each in NUMBERS_PER_POD},
}
