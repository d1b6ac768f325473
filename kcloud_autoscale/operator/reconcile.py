"""One fleet cycle: observe, tick, act, record. Everything in it was decided elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kcloud_autoscale.act.execute import execute
from kcloud_autoscale.act.ledger_record import LedgerRecord
from kcloud_autoscale.act.rest import RequestError, Rest
from kcloud_autoscale.act.scale import ScaleWriter
from kcloud_autoscale.domain.decision import ScaleAction, ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.observation import Observation
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.observe.gather import Gatherer
from kcloud_autoscale.operator import deletion
from kcloud_autoscale.operator.books import Books
from kcloud_autoscale.operator.clock import FleetClock
from kcloud_autoscale.operator.fitting import WorkerFitter
from kcloud_autoscale.operator.fleet import Fleet, FleetReader
from kcloud_autoscale.operator.memory import release
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.quarantine import Quarantine
from kcloud_autoscale.operator.record import Recorder
from kcloud_autoscale.operator.rivals import mark_rivals
from kcloud_autoscale.operator.settings import Settings
from kcloud_autoscale.operator.store import ObjectStore
from kcloud_autoscale.operator.teaching import WorkerTeacher
from kcloud_autoscale.tick import FleetState, TickResult, note_writes, tick

logger = logging.getLogger(__name__)

# However long looking and deciding took, half a cycle is for writing.
LEAST_ACT_SHARE = 0.5


class Reconciler:
    """Owns the fleet's state; cycles must not overlap."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        gatherer: Gatherer,
        rest: Rest,
        scaler: ScaleWriter,
        record: LedgerRecord,
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
        self._record = record
        self._books = Books(store, settings.watch_namespaces)
        self._recorder = recorder
        self._metrics = metrics
        self._teacher, self._fitter = teacher, fitter
        self._quarantine = Quarantine()
        self._knowledge, missing = default_knowledge()
        if missing:
            logger.warning("Forecasts of young workloads do without the model bundle: %s", missing)
        self._state = FleetState(self._new_forecaster())

    async def reconcile(self, now_seconds: float) -> None:
        """One cycle at ``now_seconds``."""
        started = time.monotonic()
        fleet = self._reader.read(self._store)
        self._books.open(fleet, self._record.written, self._state, now_seconds)
        policy = self._quarantine.without(fleet.policy, now_seconds)
        with self._stage("observe"):
            await self._fill_gaps(policy, now_seconds)
            seen = await self._gatherer.gather(policy, self._state.seen_until(), now_seconds)
            observation = mark_rivals(seen, policy)
        with self._stage("tick"):
            ticked = await self._tick(observation, policy, now_seconds)
        with self._stage("ledger"):
            await self._put_on_record(ticked, now_seconds)
        with self._stage("act"):
            # To the beginning of the next cycle, which decides anew on what is still waiting.
            every = self._settings.cycle_seconds
            limit_seconds = max(LEAST_ACT_SHARE * every, every - (time.monotonic() - started))
            results = await self._act(fleet, observation, ticked, now_seconds, limit_seconds)
        with self._stage("record"):
            self._recorder.record(fleet, observation, ticked, results, self._teacher.set_aside())
            self._recorder.set_aside(fleet, self._quarantine.reasons(), now_seconds)

    async def take_over(self, now_seconds: float) -> None:
        """Begin with what is on record: as a new leader, or after a cycle that failed.

        Raises:
            ActionError: The record cannot be read or written: nothing may be decided.
        """
        self.start_over()
        record = await self._record.take_over(now_seconds)
        if record.is_new:
            logger.info(
                "There is no record of what was spent yet: what the statuses show is taken over, within bounds."
            )

    def start_over(self, set_by_seconds: float = 0.0) -> None:
        """Forget everything that is not on record; what is, is dated anew where the clock was set meanwhile."""
        self._teacher.start()
        self._record.written = self._record.written.moved(set_by_seconds)
        self._blank()

    def stand_down(self) -> None:
        """Another process leads: keep neither workers nor what was learned, which will be old when we lead again."""
        self._teacher.close()
        self._fitter.close()
        self._blank()

    def _blank(self) -> None:
        self._books.forget()
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

    async def _fill_gaps(self, policy: FleetPolicy, now_seconds: float) -> None:
        """After a stop: what ran meanwhile, where Prometheus knows."""
        gaps = self._books.gaps(self._state, now_seconds)
        gaps = {key: begin for key, begin in gaps.items() if key in policy.workloads}
        if not gaps:
            return
        found = await self._gatherer.gap_replicas(policy, gaps, now_seconds)
        self._books.fill(self._state, found)
        longest = now_seconds - min(gaps.values())
        logger.info(
            "%d workloads ran up to %.0f s unaccounted: %d are paid by what kube-state-metrics recorded, the rest by "
            "the larger of the last known and the present count.",
            len(gaps),
            longest,
            len(found),
        )

    async def _act(
        self, fleet: Fleet, observation: Observation, ticked: TickResult, now_seconds: float, limit_seconds: float
    ) -> tuple[ScaleResult, ...]:
        unheld = await deletion.hold(self._rest, fleet)

        async def write(action: ScaleAction, until_seconds: float) -> ScaleResult:
            if action.key in unheld:
                return ScaleResult(action, ScaleOutcome.DEFERRED, "its finalizer could not be put on first")
            if not self._is_adopted(action):
                return ScaleResult(action, ScaleOutcome.DEFERRED, "its original replicas could not be put on record")
            return await self._scaler.write(action, until_seconds)

        self._scaler.expect(len(ticked.fleet.actions))
        results = await execute(ticked.fleet.actions, write, limit_seconds)
        self._scaler.expect(sum(result.outcome is ScaleOutcome.DEFERRED for result in results))
        note_writes(ticked.state, results, now_seconds)
        by_key = {result.action.key: result for result in results}
        decisions = {decision.key: decision for decision in ticked.fleet.decisions}
        await deletion.release(self._rest, fleet, decisions, by_key, now_seconds)
        return results

    async def _put_on_record(self, ticked: TickResult, now_seconds: float) -> None:
        """What was spent until now and what was found, before anything is done: a kill costs a cycle at most.

        Raises:
            DeposedError: Another process leads.
        """
        try:
            await self._record.write(self._books.close(ticked, self._record.written))
        except RequestError as error:
            self._metrics.ledger_failures.inc()
            logger.warning("What was spent could not be put on record: %s", error)
        else:
            self._metrics.ledger_written.set(now_seconds)

    def _is_adopted(self, action: ScaleAction) -> bool:
        """The replicas found at adoption are on record before the first of them is changed."""
        one = self._record.written.workloads.get(self._books.uid_of(action.key))
        if one is not None and one.original_replicas is not None:
            return True
        logger.warning("%s is not scaled: its original replicas could not be put on record", action.key)
        return False

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


class Cycle:
    """When to reconcile: every so often, and at once when something people decided has changed.

    Args:
        reconciler: Does it.
        may_act: Only the leader runs cycles.
        every_seconds: Between the starts of two cycles.
        succeeded: Told after each good cycle.
        metrics: Counts.
        clock: What time it is.
    """

    # A burst of new objects becomes one cycle, not one each.
    GATHER_CHANGES_SECONDS = 0.5

    def __init__(
        self,
        reconciler: Reconciler,
        may_act: Callable[[], bool],
        every_seconds: float,
        succeeded: Callable[[], None],
        metrics: Metrics,
        clock: FleetClock,
    ) -> None:
        self._reconciler = reconciler
        self._may_act = may_act
        self._every_seconds = every_seconds
        self._succeeded = succeeded
        self._metrics = metrics
        self._clock = clock
        self._wake = asyncio.Event()
        self._led = False

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
        set_by_seconds = self._clock.adjust()
        self._metrics.clock_error.set(self._clock.error_seconds)
        if set_by_seconds and self._led:
            # Windows are dated by the clock before: an hour ahead each would be over at once, an hour back none would
            # end. What was spent is kept: the time that did not pass is not paid.
            logger.warning(
                "Time was set by %+.0f s: nothing shrinks before a full window of good data.", set_by_seconds
            )
            self._reconciler.start_over(set_by_seconds)
        try:
            await self._cycle(self._clock.now_seconds())
        except Exception:
            logger.exception("The cycle failed; nothing more is done in it.")
            self._metrics.cycles.labels("error").inc()
            self._led = False
        else:
            self._metrics.cycles.labels("ok").inc()
            self._metrics.last_cycle.set(self._clock.now_seconds())
            self._succeeded()
        await asyncio.to_thread(release)

    async def _cycle(self, now_seconds: float) -> None:
        if not self._led:
            await self._reconciler.take_over(now_seconds)
            self._led = True
        await self._reconciler.reconcile(now_seconds)

    async def _wait(self, until_seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until_seconds - time.monotonic())):
                await self._wake.wait()
                await asyncio.sleep(self.GATHER_CHANGES_SECONDS)
        except TimeoutError:
            return
