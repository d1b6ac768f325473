import asyncio

from kcloud_autoscale.act.execute import execute
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.act.scale import ScaleOutcome, ScaleResult, ScaleWriter
from kcloud_autoscale.domain.decision import ScaleAction
from kcloud_autoscale.domain.policy import CapUnit, SharedCap
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from tests.fakes.rest import FakeRest, scale_object, scale_path

SHARED = SharedCap(
    "team/costPerHourLimit",
    CapUnit.USD_PER_HOUR,
    100.0,
    frozenset({WorkloadKey("ai", "down"), WorkloadKey("ai", "needs-room")}),
)


def action(name: str, before: int, after: int) -> ScaleAction:
    target = TargetRef("apps/v1", "Deployment", name)
    return ScaleAction(WorkloadKey("ai", name), "d", target, f"uid-{name}", "7", before, after, 0, 100, "Test")


def cluster(**counts: int) -> FakeRest:
    names = {name.replace("_", "-"): count for name, count in counts.items()}
    return FakeRest({scale_path(name): scale_object(name, count) for name, count in names.items()})


async def run(rest: FakeRest, actions: list[ScaleAction], limit_seconds: float = 5.0) -> tuple[ScaleResult, ...]:
    return await execute(actions, [SHARED], ScaleWriter(rest, TokenBucket(), lambda: True), limit_seconds)


def patched(rest: FakeRest) -> list[str]:
    return [path.split("/")[-2] for verb, path, _ in rest.requests if verb == "PATCH"]


async def test_free_growth_first_then_shrinks_then_the_growth_that_needs_their_room():
    rest = cluster(down=5, needs_room=1, free=1)
    results = await run(rest, [action("down", 5, 2), action("needs-room", 1, 4), action("free", 1, 3)])
    assert patched(rest) == ["free", "down", "needs-room"]
    assert [result.outcome for result in results] == [ScaleOutcome.WRITTEN] * 3


async def test_growth_waits_when_the_shrink_it_needs_did_not_happen():
    rest = cluster(down=6, needs_room=1, free=1)  # somebody has set `down` to 6: its action is stale
    results = await run(rest, [action("down", 5, 2), action("needs-room", 1, 4), action("free", 1, 3)])
    assert [result.outcome for result in results] == [ScaleOutcome.STALE, ScaleOutcome.DEFERRED, ScaleOutcome.WRITTEN]
    assert patched(rest) == ["free"]


async def test_one_failure_leaves_the_others_alone():
    rest = cluster(bad=1, good=1)
    rest.refuse = lambda verb, path: RequestError(500, "Broken", "no") if "/bad/" in path else None
    results = await run(rest, [action("bad", 1, 2), action("good", 1, 2)])
    assert [result.outcome for result in results] == [ScaleOutcome.FAILED, ScaleOutcome.WRITTEN]


async def test_a_target_that_hangs_costs_its_time_and_no_more():
    class Hanging(FakeRest):
        async def get(self, path, query=()):
            if "/slow/" in path:
                await asyncio.sleep(60)
            return await super().get(path, query)

    rest = Hanging({scale_path(name): scale_object(name, 1) for name in ("slow", "quick")})
    results = await run(rest, [action("slow", 1, 2), action("quick", 1, 2)], limit_seconds=0.05)
    assert [result.outcome for result in results] == [ScaleOutcome.DEFERRED, ScaleOutcome.WRITTEN]
    assert "0.05 s" in results[0].message
