import asyncio
from collections.abc import Callable

from kcloud_autoscale.act.execute import execute
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.act.scale import ScaleWriter
from kcloud_autoscale.domain.decision import ScaleAction, ScaleOutcome
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from tests.fakes.rest import FakeRest, scale_object, scale_path


def action(name: str, before: int, after: int, needs: tuple[str, ...] = ()) -> ScaleAction:
    target = TargetRef("apps/v1", "Deployment", name)
    key = WorkloadKey("ai", name)
    return ScaleAction(key, f"id-{name}", target, f"uid-{name}", "7", before, after, 0, 100, "Test", needs)


def cluster(**counts: int) -> FakeRest:
    names = {name.replace("_", "-"): count for name, count in counts.items()}
    return FakeRest({scale_path(name): scale_object(name, count) for name, count in names.items()})


async def run(
    rest: FakeRest, actions: list[ScaleAction], limit_seconds: float = 5.0, bucket: TokenBucket | None = None
) -> list[ScaleOutcome]:
    writer = ScaleWriter(rest, bucket or TokenBucket(), lambda: True)
    return [result.outcome for result in await execute(actions, writer.write, limit_seconds)]


def patched(rest: FakeRest) -> list[str]:
    return [path.split("/")[-2] for verb, path, _ in rest.requests if verb == "PATCH"]


def forbid(*names: str) -> Callable[[str, str], RequestError | None]:
    error = RequestError(403, "Forbidden", "admission webhook: no")
    return lambda verb, path: error if verb == "PATCH" and path.split("/")[-2] in names else None


async def test_the_order_is_the_one_that_was_decided():
    names = [f"w{number:02}" for number in (7, 3, 11, 0, 5)]
    rest = cluster(**dict.fromkeys(names, 1))
    assert await run(rest, [action(name, 1, 2) for name in names]) == [ScaleOutcome.WRITTEN] * 5
    assert patched(rest) == names


async def test_growth_follows_the_shrink_it_needs():
    rest = cluster(down=5, up=1)
    assert await run(rest, [action("down", 5, 2), action("up", 1, 4, ("id-down",))]) == [ScaleOutcome.WRITTEN] * 2
    assert patched(rest) == ["down", "up"]


async def test_a_refused_shrink_defers_the_growth_that_needs_it_and_nobody_else():
    rest = cluster(down=5, up=1, free=1)
    rest.refuse = forbid("down")
    outcomes = await run(rest, [action("down", 5, 2), action("up", 1, 4, ("id-down",)), action("free", 1, 3)])
    assert outcomes == [ScaleOutcome.REFUSED, ScaleOutcome.DEFERRED, ScaleOutcome.WRITTEN]
    assert patched(rest) == ["down", "free"]


async def test_a_shrink_that_is_not_among_the_writes_made_no_room():
    rest = cluster(up=1)
    assert await run(rest, [action("up", 1, 4, ("id-elsewhere",))]) == [ScaleOutcome.DEFERRED]


async def test_one_failure_leaves_the_others_alone():
    rest = cluster(bad=1, good=1)
    rest.refuse = lambda verb, path: RequestError(500, "Broken", "no") if "/bad/" in path else None
    assert await run(rest, [action("bad", 1, 2), action("good", 1, 2)]) == [ScaleOutcome.FAILED, ScaleOutcome.WRITTEN]


async def test_a_target_that_hangs_costs_its_time_and_no_more():
    class Hanging(FakeRest):
        async def get(self, path, query=()):
            if "/slow/" in path:
                await asyncio.sleep(60)
            return await super().get(path, query)

    rest = Hanging({scale_path(name): scale_object(name, 1) for name in ("slow", "quick")})
    outcomes = await run(rest, [action("slow", 1, 2), action("quick", 1, 2)], limit_seconds=0.05)
    assert outcomes == [ScaleOutcome.DEFERRED, ScaleOutcome.WRITTEN]


async def test_what_does_not_fit_the_cycle_is_deferred_from_the_end():
    names = [f"w{number:02}" for number in range(30)]
    rest = cluster(**dict.fromkeys(names, 1))
    outcomes = await run(rest, [action(name, 1, 2) for name in names], 0.1, TokenBucket(20.0, 11, 10))
    written = outcomes.count(ScaleOutcome.WRITTEN)
    assert 11 <= written < 30
    assert outcomes == [ScaleOutcome.WRITTEN] * written + [ScaleOutcome.DEFERRED] * (30 - written)
    assert patched(rest) == names[:written]


async def test_a_write_that_is_under_way_at_the_end_is_awaited():
    class Slow(FakeRest):
        async def patch(self, path, body, query=()):
            await asyncio.sleep(0.1)
            return await super().patch(path, body, query)

    rest = Slow({scale_path("llm"): scale_object("llm", 1)})
    assert await run(rest, [action("llm", 1, 2)], limit_seconds=0.05) == [ScaleOutcome.WRITTEN]
    assert rest.objects[scale_path("llm")]["spec"] == {"replicas": 2}
