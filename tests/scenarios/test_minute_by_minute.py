"""Ten stories told minute by minute, each minute with the count that runs after it and why.

A replica serves 10 per second, takes 500 W and costs 2 $/h; a forecast of 45 per second asks for 5. Counts fall after
a window of 5 minutes.
"""

from __future__ import annotations

from kcloud_autoscale.domain.policy import (
    Caps,
    CapUnit,
    DemandSource,
    Fallback,
    PolicySelect,
    RatePolicy,
    ScalingRules,
    SharedCap,
)
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import WorkloadKey
from tests.builders.deciding import LATENCY, QUEUE
from tests.scenarios.minutes import at, lived, lived_together

AWAY = Missing(MissingReason.SOURCE_ERROR, "Prometheus did not answer")
NOT_CONFIGURED = Missing(MissingReason.NOT_CONFIGURED)
GATEWAY = DemandSource(query="sum(rate(gateway_requests_total[1m]))")
UNPRICED = Missing(MissingReason.NO_DATA, "no price is known")


def test_a_daily_wave_under_a_power_cap():
    """3,000 W are 6 replicas. The forecast is the peak of the next two minutes."""
    story = [
        (10.0, 25.0, 3, "ForecastNeed"),
        (10.0, 40.0, 4, "ForecastNeed"),
        (25.0, 65.0, 6, "MaxPowerUsage"),  # 7 wanted
        (40.0, 90.0, 6, "MaxPowerUsage"),
        (65.0, 90.0, 6, "MaxPowerUsage"),
        (90.0, 90.0, 6, "MaxPowerUsage"),  # 9 wanted
        (90.0, 90.0, 6, "MaxPowerUsage"),
        (70.0, 70.0, 6, "MaxPowerUsage"),  # 7 wanted, the last time more than fit
        (45.0, 45.0, 6, "ScaleDownStabilized"),  # 5 wanted
        (20.0, 20.0, 6, "ScaleDownStabilized"),
        (10.0, 10.0, 6, "ScaleDownStabilized"),
        (10.0, 10.0, 6, "ScaleDownStabilized"),
        (10.0, 10.0, 5, "ScaleDownStabilized"),  # the 7 of minute 7 are five minutes old, the 5 of minute 8 are not
        (10.0, 10.0, 2, "ScaleDownStabilized"),  # the 2 of minute 9
        (10.0, 10.0, 1, "ObservedNeed"),
        (10.0, 10.0, 1, "NoChange"),
    ]
    told = lived([at(load, peak) for load, peak, _, _ in story], start=1, caps=Caps(max_watts=3_000.0))
    assert told == [(count, reason) for _, _, count, reason in story]


def test_prometheus_is_away_while_the_load_grows():
    """Held, then lifted to the fallback's 6 after two minutes; the first answer counts at once, upwards only."""
    story = [
        (20.0, 2, "NoChange"),
        (35.0, 4, "ObservedNeed"),
        (AWAY, 4, "MetricsUnknown"),
        (AWAY, 4, "MetricsUnknown"),
        (AWAY, 6, "Fallback"),
        (70.0, 7, "ObservedNeed"),
        (90.0, 9, "ObservedNeed"),
        (AWAY, 9, "MetricsUnknown"),
        (5.0, 9, "ScaleDownHeld"),  # good data since minute 8
        (5.0, 9, "ScaleDownHeld"),
        (5.0, 9, "ScaleDownHeld"),
        (5.0, 9, "ScaleDownHeld"),
        (5.0, 9, "ScaleDownHeld"),
        (5.0, 1, "ObservedNeed"),  # for five minutes
        (5.0, 1, "NoChange"),
    ]
    told = lived([at(load) for load, _, _ in story], start=2, fallback=Fallback(6, 120.0))
    assert told == [(count, reason) for _, count, reason in story]


def test_a_member_of_a_shared_cap_may_not_shrink():
    """5,000 W are 10 replicas of two. From minute 2 on `kept` needs 2, `busy` 8; refused until minute 8."""
    keys = frozenset({WorkloadKey("shop", "kept"), WorkloadKey("shop", "busy")})
    story = [
        (60.0, 10.0, (6, "NoChange"), (1, "NoChange")),
        (60.0, 30.0, (6, "NoChange"), (3, "ObservedNeed")),
        (20.0, 80.0, (6, "SharedCap"), (4, "WaitsForRoom")),  # 4 are really free; refused for the first time
        (20.0, 80.0, (6, "SharedCap"), (4, "WaitsForRoom")),  # after a minute tried again
        (20.0, 80.0, (6, "WriteRefused"), (4, "SharedCap")),  # two minutes' pause: `busy` is promised what is free
        (20.0, 80.0, (6, "SharedCap"), (4, "WaitsForRoom")),
        (20.0, 80.0, (6, "WriteRefused"), (4, "SharedCap")),  # four
        (20.0, 80.0, (6, "WriteRefused"), (4, "SharedCap")),
        (20.0, 80.0, (6, "WriteRefused"), (4, "SharedCap")),
        (20.0, 80.0, (2, "ObservedNeed"), (4, "WaitsForRoom")),  # rights are mended; its pods are still there
        (20.0, 80.0, (2, "NoChange"), (8, "ObservedNeed")),
        (20.0, 80.0, (2, "NoChange"), (8, "NoChange")),
    ]
    told = lived_together(
        [{"kept": at(kept), "busy": at(busy)} for kept, busy, _, _ in story],
        start={"kept": 6, "busy": 1},
        caps=(SharedCap("team/maxPowerUsage", CapUnit.WATTS, 5_000.0, keys),),
        refused={minute: ["kept"] for minute in range(9)},
    )
    assert told == [{"kept": kept, "busy": busy} for _, _, kept, busy in story]


def test_a_budget_runs_out():
    """6 replicas cost 0.2 $ a minute: of 1 $ nothing is left after five. The floor goes on."""
    told = lived([at(60.0)] * 8, start=3, caps=Caps(budget_usd=1.0))
    assert told == [(6, "ObservedNeed"), *[(6, "NoChange")] * 4, *[(1, "BudgetLimit")] * 3]


def test_pods_that_never_find_a_node():
    """6 wanted, 4 find one. What has waited for twice the 5 minutes of a start-up is given back; then one is tried."""
    told = lived([at(60.0)] * 24, start=2, slots=4)
    assert told[:11] == [(6, "ObservedNeed"), *[(6, "NoChange")] * 10]  # seen to wait from minute 1 to 11
    assert told[11:21] == [(4, "Unschedulable")] * 10  # a pause as long
    assert told[21:] == [(5, "Unschedulable")] * 3


def test_a_price_that_is_not_known_holds_up_growth_and_nothing_else():
    """20 $/h are 10 replicas, as long as 2 $/h each are known."""
    story = [
        (20.0, 2.0, 2, "NoChange"),
        (45.0, UNPRICED, 2, "MaxCostPerHour"),
        (45.0, UNPRICED, 2, "MaxCostPerHour"),
        (45.0, 2.0, 5, "ObservedNeed"),
        (45.0, UNPRICED, 5, "NoChange"),
        (20.0, UNPRICED, 5, "ScaleDownStabilized"),
        (20.0, UNPRICED, 5, "ScaleDownStabilized"),
        (20.0, UNPRICED, 5, "ScaleDownStabilized"),
        (20.0, UNPRICED, 5, "ScaleDownStabilized"),
        (20.0, UNPRICED, 2, "ObservedNeed"),  # to shrink needs no price
        (20.0, UNPRICED, 2, "NoChange"),
    ]
    told = lived([at(load, usd=usd) for load, usd, _, _ in story], start=2, caps=Caps(max_usd_per_hour=20.0))
    assert told == [(count, reason) for _, _, count, reason in story]


def test_another_autoscaler_comes_and_goes():
    story = [
        (50.0, None, 5, "NoChange"),
        (80.0, "HPA llm", 5, "Conflict"),  # 8 are needed; it is the other's to give them
        (80.0, "HPA llm", 5, "Conflict"),
        (80.0, None, 8, "ObservedNeed"),
        (20.0, None, 8, "ScaleDownHeld"),  # not watched during the conflict: five minutes from minute 3
        (20.0, None, 8, "ScaleDownHeld"),
        (20.0, None, 8, "ScaleDownHeld"),
        (20.0, None, 8, "ScaleDownHeld"),
        (20.0, None, 2, "ObservedNeed"),
    ]
    told = lived([at(load, conflict=other) for load, other, _, _ in story], start=5)
    assert told == [(count, reason) for _, _, count, reason in story]


def test_a_restart_in_mid_wave():
    """The new process sees a load of 20 where 80 were forecast, and does not know how long it has been so low."""
    story = [
        (20.0, 60.0, 6, "ForecastNeed"),
        (40.0, 80.0, 8, "ForecastNeed"),
        (60.0, 80.0, 8, "NoChange"),
        (20.0, 20.0, 8, "ScaleDownStabilized"),
        (20.0, 20.0, 8, "ScaleDownHeld"),  # restarted
        (20.0, 20.0, 8, "ScaleDownHeld"),
        (20.0, 95.0, 10, "ForecastNeed"),  # growth waits for no window
        (20.0, 20.0, 10, "ScaleDownHeld"),
        (20.0, 20.0, 10, "ScaleDownHeld"),
        (20.0, 20.0, 10, "ScaleDownStabilized"),  # five minutes of its own, but 10 were wanted three minutes ago
        (20.0, 20.0, 10, "ScaleDownStabilized"),
        (20.0, 20.0, 2, "ObservedNeed"),
    ]
    told = lived([at(load, peak) for load, peak, _, _ in story], start=2, restarts=[4])
    assert told == [(count, reason) for _, _, count, reason in story]


def test_to_zero_and_awake():
    """A gateway tells the demand. After five minutes without any none runs; the first wakes one within its cycle."""
    story = [
        (10.0, 1, "NoChange"),
        (0.0, 1, "ScaleDownStabilized"),
        (0.0, 1, "ScaleDownStabilized"),
        (0.0, 1, "ScaleDownStabilized"),
        (0.0, 1, "ScaleDownStabilized"),
        (0.0, 1, "CoolingDown"),  # four minutes of quiet, since minute 1
        (0.0, 0, "ObservedNeed"),
        (0.0, 0, "NoChange"),
        (0.5, 1, "ObservedNeed"),
        (20.0, 2, "ObservedNeed"),
    ]
    told = lived([at(load) for load, _, _ in story], start=1, min_replicas=0, source=GATEWAY)
    assert told == [(count, reason) for _, count, reason in story]


def test_windows_and_rates_with_two_metrics():
    """Latency at most 0.2 s, 5 waiting per replica; whoever wants more decides.

    Up: what was wanted for two minutes, at most 2 pods and half as many again in a minute. Down: three minutes, one
    pod a minute.
    """
    story = [
        (0.1, 10.0, 3, "ScaleDownLimit"),  # 2 by either; from 4 one may go
        (0.1, 40.0, 3, "ScaleUpStabilized"),  # 8 by the queue; a minute ago it was 2
        (0.1, 40.0, 5, "ScaleUpLimit"),  # 3 + 2
        (0.1, 40.0, 7, "ScaleUpLimit"),  # 5 + 2; half as many again would be 8
        (0.4, 10.0, 8, "ScaleUpStabilized"),  # latency asks for more; 8 were wanted all the time
        (0.2, 20.0, 8, "NoChange"),
        (0.1, 5.0, 8, "ScaleDownStabilized"),  # 4 by latency
        (0.1, 5.0, 8, "ScaleDownStabilized"),
        (0.1, 5.0, 7, "ScaleDownLimit"),  # the 8 of minute 5 are three minutes old
        (0.1, 5.0, 6, "ScaleDownLimit"),
        (0.1, 5.0, 5, "ScaleDownLimit"),
        (0.1, 5.0, 4, "ScaleDownStabilized"),  # half of 5 is 3; in minute 9 half of 7 was 4
        (0.1, 5.0, 3, "ScaleDownStabilized"),
    ]
    up = ScalingRules(120.0, (RatePolicy(60.0, pods=2), RatePolicy(60.0, percent=50)), PolicySelect.MIN)
    down = ScalingRules(180.0, (RatePolicy(60.0, pods=1),))
    minutes = [at(NOT_CONFIGURED, None, metrics={"latency": latency, "queue": queue}) for latency, queue, _, _ in story]
    told = lived(minutes, start=4, targets=(LATENCY, QUEUE), kappa=None, scale_up=up, scale_down=down)
    assert told == [(count, reason) for _, _, count, reason in story]
