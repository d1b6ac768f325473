"""``make demo``: puts everything up, lets the story happen, and reads from Prometheus what came of it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from hack.demo import comparison, manifests
from hack.demo.picture import Run, draw
from hack.demo.progress import Progress
from hack.demo.recording import record
from hack.demo.scenario import NAMESPACE, OURS, TWIN
from hack.demo.stage import OUTPUT, Stage, stage
from hack.demo.story import told

PICTURE = OUTPUT / "demo.png"
# Of the replicas that the power budget leaves when the cap is lowered: well below the wave, above what follows it.
CAPPED_REPLICAS = 7


async def main() -> int:
    """The exit code: 0 when the story happened."""
    progress = Progress()
    async with stage(progress) as up:
        began = time.time()
        watch = asyncio.create_task(_narrate(up, progress))
        await _turns(up, progress)
        watch.cancel()
        with progress.step("reading back from Prometheus"):
            ended = time.time()
            run = await asyncio.to_thread(record, up.prometheus_url, up.timeline, ended)
            await asyncio.to_thread(draw, run, up.timeline, PICTURE)
            sides = {
                name: await asyncio.to_thread(comparison.measured, up.prometheus_url, deployment, began, ended)
                for name, deployment in (("kcloud-autoscale", OURS), ("Kubernetes HPA, 70 %", TWIN))
            }
            sides["shadow HPA (our books)"] = await asyncio.to_thread(
                comparison.shadow, up.prometheus_url, began, ended
            )
        return _report(run, up, sides)


async def _turns(up: Stage, progress: Progress) -> None:
    """The turns of the story, each at its time."""
    timeline, prometheus = up.timeline, up.cluster.prometheus
    await _until(timeline.ramp_seconds)
    progress.say("the ramp begins")
    described = await asyncio.to_thread(up.cluster.kubectl, "-n", NAMESPACE, "describe", "workloadoptimizer", OURS)
    (OUTPUT / "described.txt").write_text(described)
    await _until(timeline.blind_from)
    progress.say("Prometheus is stopped, in the middle of the wave")
    await asyncio.to_thread(prometheus.stop)
    await _until(timeline.blind_until)
    await asyncio.to_thread(prometheus.restart)
    progress.say("Prometheus is back")
    await _until(timeline.cap_lowered)
    watts = await asyncio.to_thread(_watts_for, up, CAPPED_REPLICAS)
    await asyncio.to_thread(_lower_cap, up, watts)
    progress.say(f"the power cap of ours is lowered to {watts:.0f} W")
    await _until(timeline.calm)
    progress.say("the wave has passed")
    await _until(timeline.end)


async def _until(seconds: float) -> None:
    await asyncio.sleep(max(0.0, seconds - time.time()))


def _watts_for(up: Stage, replicas: int) -> float:
    """A cap that leaves room for so many replicas at what the operator says one draws, and for half of another."""
    selector = f'kcloud_replica_power_watts{{namespace="{NAMESPACE}",name="{OURS}"}}'
    return round((replicas + 0.5) * comparison.query(up.prometheus_url, selector, time.time()))


def _lower_cap(up: Stage, watts: float) -> None:
    patch = json.dumps(manifests.power_cap(watts))
    up.cluster.kubectl("-n", NAMESPACE, "patch", "workloadoptimizer", OURS, "--type=merge", "-p", patch)


async def _narrate(up: Stage, progress: Progress) -> None:
    """Each change of either Deployment, as it happens."""
    last: dict[str, int] = {}
    while True:
        shown = await asyncio.to_thread(up.cluster.kubectl.get, "deployments", "-n", NAMESPACE)
        for item in shown["items"]:
            name, count = item["metadata"]["name"], item["spec"]["replicas"]
            if last.get(name, count) != count:
                moment = time.time() - up.timeline.ramp_seconds
                progress.say(f"  {moment:+4.0f} s from the ramp: {name:8} {last[name]:2} → {count}")
            last[name] = count
        if up.operator.poll() is not None:
            raise RuntimeError(f"the operator ended: {up.operator_log.read_text()[-2000:]}")
        await asyncio.sleep(1)


def _report(run: Run, up: Stage, sides: dict[str, comparison.Totals]) -> int:
    facts = told(run, up.timeline, *list(sides.values())[:2])
    print("\n" + comparison.table(sides) + "\n")
    for fact in facts:
        print(f"  {'yes' if fact.holds else 'NO '}  {fact.sentence}")
    print(f"\npicture: {PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE}")
    return 0 if all(fact.holds for fact in facts) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
