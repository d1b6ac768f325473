import ast
from pathlib import Path
from typing import Any

import pytest

import kcloud_autoscale
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.act.scale import ScaleWriter
from kcloud_autoscale.domain.decision import ScaleAction, ScaleOutcome
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from tests.fakes.rest import FakeRest, scale_object, scale_path


def action(name: str = "llm", before: int = 2, after: int = 5, **changes: Any) -> ScaleAction:
    values: dict[str, Any] = {
        "key": WorkloadKey("ai", name),
        "decision_id": "d1",
        "target": TargetRef("apps/v1", "Deployment", name),
        "target_uid": f"uid-{name}",
        "resource_version": "7",
        "from_replicas": before,
        "to_replicas": after,
        "min_replicas": 1,
        "max_replicas": 10,
        "reason": "ForecastNeed",
    }
    return ScaleAction(**{**values, **changes})


def writer(rest: FakeRest, leader: bool = True, dry_run: bool = False) -> ScaleWriter:
    return ScaleWriter(rest, TokenBucket(), lambda: leader, dry_run)


async def test_writes_the_count_with_uid_and_the_version_just_read():
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    result = await writer(rest).write(action())
    assert (result.outcome, result.replicas) == (ScaleOutcome.WRITTEN, 5)
    assert rest.written("PATCH") == [
        {"metadata": {"uid": "uid-llm", "resourceVersion": "7"}, "spec": {"replicas": 5}},
    ]


@pytest.mark.parametrize(("wanted", "written"), [(0, 1), (99, 10)])
async def test_never_leaves_the_bounds(wanted: int, written: int):
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    assert (await writer(rest).write(action(after=wanted))).replicas == written


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (scale_object("llm", 3), "has 3 replicas now; the decision was made on 2"),
        (scale_object("llm", 0), "has 0 replicas now"),
        (scale_object("llm", 2, uid="another"), "is a new object: uid another"),
    ],
)
async def test_a_target_that_moved_on_is_left_alone(there: dict[str, Any], says: str):
    rest = FakeRest({scale_path("llm"): there})
    result = await writer(rest).write(action())
    assert result.outcome is ScaleOutcome.STALE
    assert says in result.message
    assert rest.written("PATCH") == []


async def test_a_new_version_with_the_same_count_does_not_void_the_decision():
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    result = await writer(rest).write(action(resource_version="3"))
    assert result.written
    assert rest.written("PATCH")[0]["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (404, ScaleOutcome.GONE),
        (403, ScaleOutcome.REFUSED),
        (422, ScaleOutcome.REFUSED),
        (503, ScaleOutcome.FAILED),
        (None, ScaleOutcome.FAILED),
    ],
)
async def test_every_refusal_is_an_outcome_and_is_not_repeated(status: int | None, outcome: ScaleOutcome):
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    rest.refuse = lambda verb, path: RequestError(status, "Why", "in words") if verb == "PATCH" else None
    result = await writer(rest).write(action())
    assert (result.outcome, result.message) == (outcome, "in words")
    assert len(rest.written("PATCH")) == 1


async def test_an_object_that_changed_between_look_and_write_is_looked_at_again():
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    conflicts = [RequestError(409, "Conflict", "the object has been modified")]
    rest.refuse = lambda verb, path: conflicts.pop() if verb == "PATCH" and conflicts else None
    assert (await writer(rest).write(action())).outcome is ScaleOutcome.WRITTEN

    def outrun(verb: str, path: str) -> RequestError | None:
        if verb == "PATCH":
            rest.objects[scale_path("llm")] = scale_object("llm", 4)  # somebody else was faster
            return RequestError(409, "Conflict", "the object has been modified")
        return None

    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    rest.refuse = outrun
    result = await writer(rest).write(action())
    assert (result.outcome, len(rest.written("PATCH"))) == (ScaleOutcome.STALE, 1)
    assert "has 4 replicas now" in result.message


async def test_an_overloaded_server_is_asked_again_as_late_as_it_says():
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    answers = [RequestError(429, "TooManyRequests", "later", 0.02), RequestError(429, "TooManyRequests", "later", 0.02)]
    rest.refuse = lambda verb, path: answers.pop() if verb == "PATCH" and answers else None
    bucket = TokenBucket()
    result = await ScaleWriter(rest, bucket, lambda: True).write(action())
    assert (result.outcome, len(rest.written("PATCH"))) == (ScaleOutcome.WRITTEN, 3)
    assert 10.0 < bucket.rate_per_second < 11.0  # halved once, for one overload, and regained a little


async def test_a_server_that_stays_overloaded_is_no_fault_of_the_target():
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    rest.refuse = lambda verb, path: RequestError(429, "TooManyRequests", "later") if verb == "PATCH" else None
    result = await writer(rest).write(action())
    assert (result.outcome, result.overloaded, len(rest.written("PATCH"))) == (ScaleOutcome.FAILED, True, 5)


async def test_a_kind_without_scale_is_refused_in_words():
    result = await writer(FakeRest()).write(action(target=TargetRef("apps/v1", "DaemonSet", "llm")))
    assert result.outcome is ScaleOutcome.REFUSED
    assert result.message == "apps/v1 DaemonSet has no scale subresource"


async def test_nothing_is_written_after_the_lease_is_lost():
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    result = await writer(rest, leader=False).write(action())
    assert result.outcome is ScaleOutcome.NOT_LEADER
    assert rest.written("PATCH") == []


async def test_a_dry_run_keeps_nothing():
    rest = FakeRest({scale_path("llm"): scale_object("llm", 2)})
    result = await writer(rest, dry_run=True).write(action())
    assert result.outcome is ScaleOutcome.DRY_RUN
    assert rest.objects[scale_path("llm")]["spec"] == {"replicas": 2}


NETWORK = {"kubernetes", "aiohttp", "requests", "httpx", "urllib", "kopf", "kcloud_autoscale.act.rest"}


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name in NETWORK or name.split(".")[0] in NETWORK}


def _may_write_a_count(tree: ast.AST) -> bool:
    """It makes bodies with ``replicas`` or calls a client's own scale methods, and reaches the network."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and "_scale" in node.attr and node.attr.startswith(("patch_", "replace_")):
            return True
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            if "replicas" in keys and _imports(tree):
                return True
    return False


def test_only_the_scale_writer_can_change_a_count():
    package = Path(kcloud_autoscale.__file__).parent
    sources = {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    writers = {name for name, text in sources.items() if _may_write_a_count(ast.parse(text))}
    assert writers == {"act/scale.py"}
