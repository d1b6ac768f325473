"""One fleet cycle: observe, tick, act, record. Everything in it was decided elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kcloud_autoscale.act.execute import execute
from kcloud_autoscale.act.rest import RequestError, Rest
from kcloud_autoscale.act.scale import ScaleResult, ScaleWriter
from kcloud_autoscale.act.status_writer import StatusWriter
from kcloud_autoscale.api.v1alpha1 import CostPolicy
from kcloud_autoscale.domain.decision import ScaleAction
from kcloud_autoscale.domain.observation import Observation
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.observe.gather import Gatherer
from kcloud_autoscale.operator import deletion
from kcloud_autoscale.operator.fitting import WorkerFitter
from kcloud_autoscale.operator.fleet import Fleet, FleetReader, ref_of
from kcloud_autoscale.operator.memory import release
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.quarantine import Quarantine
from kcloud_autoscale.operator.record import Recorder
from kcloud_autoscale.operator.restore import restored_spend, restored_state
from kcloud_autoscale.operator.rivals import mark_rivals
from kcloud_autoscale.operator.settings import Settings
from kcloud_autoscale.operator.store import ObjectStore
from kcloud_autoscale.operator.teaching import WorkerTeacher
from kcloud_autoscale.tick import FleetState, TickResult, tick

logger = logging.getLogger(__name__)


class Reconciler:
    """Owns the fleet's state; cycles must not overlap."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        gatherer: Gatherer,
        rest: Rest,
        scaler: ScaleWriter,
        statuses: StatusWriter,
        recorder: Recorder,
        metrics: Metrics,
        teacher: WorkerTeacher,
        fitter: WorkerFitter,
    ) -> None:
        self._settings = settings
        self._store = store
        self._reader = FleetReader(settings)
        self._gatherer = gatherer
        self._rest = rest
        self._scaler = scaler
        self._statuses = statuses
        self._recorder = recorder
        self._metrics = metrics
        self._teacher, self._fitter = teacher, fitter
        self._quarantine = Quarantine()
        self._uids: dict[WorkloadKey, str] = {}
        self._policy_uids: dict[str, str] = {}
        self._knowledge, missing = default_knowledge()
        if missing:
            logger.warning("Forecasts of young workloads do without the model bundle: %s", missing)
        self._state = FleetState(self._new_forecaster())

    async def reconcile(self, now_seconds: float) -> None:
        """One cycle at ``now_seconds``."""
        fleet = self._reader.read(self._store)
        self._remember(fleet, now_seconds)
        self._remember_spends(fleet, now_seconds)
        policy = self._quarantine.without(fleet.policy, now_seconds)
        with self._stage("observe"):
            seen = await self._gatherer.gather(policy, self._state.seen_until(), now_seconds)
            observation = mark_rivals(seen, policy)
        with self._stage("tick"):
            ticked = await self._tick(observation, policy, now_seconds)
        with self._stage("act"):
            results = await self._act(fleet, observation, ticked, now_seconds)
        with self._stage("record"):
            self._recorder.record(fleet, observation, ticked, results, self._teacher.set_aside())
            self._recorder.set_aside(fleet, self._quarantine.reasons(), now_seconds)

    def start_over(self) -> None:
        """Forget everything that is not on record: after a failed cycle, or when the lead was lost meanwhile."""
        self._teacher.start()
        self._blank()

    def stand_down(self) -> None:
        """Another process leads: keep neither workers nor what was learned, which will be old when we lead again."""
        self._teacher.close()
        self._fitter.close()
        self._blank()

    def _blank(self) -> None:
        self._uids.clear()
        self._policy_uids.clear()
        self._state = FleetState(self._new_forecaster())

    async def _tick(self, observation: Observation, policy: FleetPolicy, now_seconds: float) -> TickResult:
        """Off the event loop. When it fails, this cycle is lost, but whoever broke it is left out of the next."""
        before = dict(self._state.workloads)
        try:
            return await asyncio.to_thread(tick, observation, policy, self._state, now_seconds)
        except Exception:
            find = self._quarantine.find
            await asyncio.to_thread(find, observation, policy, before, self._new_forecaster)
            raise

    async def _act(
        self, fleet: Fleet, observation: Observation, ticked: TickResult, now_seconds: float
    ) -> tuple[ScaleResult, ...]:
        unheld = await deletion.hold(self._rest, fleet)
        actions = [action for action in ticked.fleet.actions if action.key not in unheld]
        adopted = [action for action in actions if await self._adopted(fleet, ticked, action)]
        leaving = deletion.restoring(fleet)
        undone = {
            key: deletion.restore_action(fleet, key, observation, _original(fleet, ticked, key)) for key in leaving
        }
        todo = [*adopted, *(action for action in undone.values() if action is not None)]
        results = await execute(todo, fleet.policy.shared_caps, self._scaler, self._settings.cycle_seconds)
        by_key = {result.action.key: result for result in results}
        await deletion.release(self._rest, fleet, {key: by_key.get(key) for key in leaving}, now_seconds)
        return results

    async def _adopted(self, fleet: Fleet, ticked: TickResult, action: ScaleAction) -> bool:
        """The replicas found at adoption are on record before the first of them is changed."""
        original = ticked.state.workloads[action.key].original_replicas
        status = fleet.status_of(action.key)
        if status.get("originalReplicas") == original:
            return True
        try:
            known = {**status, "originalReplicas": original}
            await self._statuses.put_on_record(ref_of(fleet.bodies[action.key]), known)
        except RequestError as error:
            logger.warning("%s is not scaled: its original replicas could not be put on record: %s", action.key, error)
            return False
        return True

    def _remember(self, fleet: Fleet, now_seconds: float) -> None:
        """New workloads begin with what their status remembers; a successor of the same name with its own.

        So does one that was set aside meanwhile: the tick has forgotten it.
        """
        for key in fleet.policy.workloads:
            uid = fleet.policy.workloads[key].uid
            if self._uids.get(key) != uid or key not in self._state.workloads:
                self._forget(key)
                self._state.workloads[key] = restored_state(fleet.status_of(key), now_seconds)
                self._uids[key] = uid
        for key in self._uids.keys() - fleet.policy.workloads.keys():
            del self._uids[key]

    def _remember_spends(self, fleet: Fleet, now_seconds: float) -> None:
        """New cost policies go on from what their status says was spent, as new workloads do."""
        uids = {
            policy.metadata.name: (body["metadata"]["uid"], body.get("status", {}))
            for policy, body, _ in fleet.policies
            if isinstance(policy, CostPolicy)
        }
        for name, (uid, status) in uids.items():
            if self._policy_uids.get(name) != uid:
                self._state.spends.pop(name, None)
                spend = restored_spend(status, now_seconds)
                if spend is not None:
                    self._state.spends[name] = spend
        self._policy_uids = {name: uid for name, (uid, _) in uids.items()}

    def _forget(self, key: WorkloadKey) -> None:
        if self._state.workloads.pop(key, None) is not None:
            self._state.forecaster.forget([key])

    def _new_forecaster(self) -> LiveForecaster:
        settings = self._settings
        return LiveForecaster(
            settings.step_seconds,
            time_scale=settings.time_scale,
            knowledge=self._knowledge,
            teacher=self._teacher,
            fitter=self._fitter,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._metrics.cycle_stage.labels(name).observe(time.perf_counter() - started)


def _original(fleet: Fleet, ticked: TickResult, key: WorkloadKey) -> int | None:
    """Replicas found at adoption; of one that is set aside only the status knows."""
    state = ticked.state.workloads.get(key)
    found: int | None = fleet.status_of(key).get("originalReplicas") if state is None else state.original_replicas
    return found


class Cycle:
    """When to reconcile: every so often, and at once when something people decided has changed.

    Args:
        reconciler: Does it.
        may_act: Only the leader runs cycles.
        every_seconds: Between the starts of two cycles.
        succeeded: Told after each good cycle.
        metrics: Counts.
        wall_clock: Unix seconds.
        clock: Monotonic seconds.
    """

    # A burst of new objects becomes one cycle, not one each.
    GATHER_CHANGES_SECONDS = 0.5
    # NTP slews a clock by 30 ms in a minute. What was remembered before a leap is dated by another clock: an hour ahead
    # every stabilization window would be over at once, an hour back none would end.
    LEAP_SECONDS = 5.0

    def __init__(
        self,
        reconciler: Reconciler,
        may_act: Callable[[], bool],
        every_seconds: float,
        succeeded: Callable[[], None],
        metrics: Metrics,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reconciler = reconciler
        self._may_act = may_act
        self._every_seconds = every_seconds
        self._succeeded = succeeded
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._clock = clock
        self._wake = asyncio.Event()
        self._led = False
        self._clocks_apart_seconds = wall_clock() - clock()

    def wake(self) -> None:
        """Look again soon."""
        self._wake.set()

    async def run(self) -> None:
        """Cycle for ever; one at a time."""
        while True:
            started = time.monotonic()
            await self.once()
            await self._wait(started + self._every_seconds)

    async def once(self) -> None:
        """A cycle if we lead; whatever goes wrong in it is told and left to the next."""
        self._wake.clear()
        if not self._may_act():
            if self._led:
                self._reconciler.stand_down()
                self._led = False
            return
        if self._leapt() or not self._led:
            self._reconciler.start_over()
            self._led = True
        try:
            await self._reconciler.reconcile(self._wall_clock())
        except Exception:
            logger.exception("The cycle failed; nothing more is done in it.")
            self._metrics.cycles.labels("error").inc()
            self._reconciler.start_over()
        else:
            self._metrics.cycles.labels("ok").inc()
            self._metrics.last_cycle.set(self._wall_clock())
            self._succeeded()
        await asyncio.to_thread(release)

    def _leapt(self) -> bool:
        """Whether the clock on the wall was set since the last look."""
        apart = self._wall_clock() - self._clock()
        leap = apart - self._clocks_apart_seconds
        self._clocks_apart_seconds = apart
        if abs(leap) < self.LEAP_SECONDS:
            return False
        logger.warning("The clock was set by %+.0f s: nothing shrinks before a whole window of good data.", leap)
        return True

    async def _wait(self, until_seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until_seconds - time.monotonic())):
                await self._wake.wait()
                await asyncio.sleep(self.GATHER_CHANGES_SECONDS)
        except TimeoutError:
            return
