"""The load on the command line, beside any cluster and any Prometheus: `python -m hack.load --help`."""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from hack.load import external_metrics
from hack.load.demand import Demand, DemandShape, morning_ramp
from hack.load.exporter import serving
from hack.load.past import PastPlan
from hack.load.queueing import Replica
from hack.load.scenario import Scenario
from hack.load.service import Service
from hack.load.trace import TraceDemand, read_trace
from hack.load.watch import ready_pods

_HISTORY_SECONDS = 14 * 86_400.0


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    work = {"run": _run, "history": _history, "external-metrics": _external_metrics}[parsed.verb]
    asyncio.run(work(parsed))
    return 0


async def _run(options: argparse.Namespace) -> None:
    scenario, now = _scenario(options), time.time()
    if options.since is None:
        if options.fill is not None:
            raise SystemExit("--fill needs --since: when the history began")
        async with serving(scenario.fresh_exporter(now), options.kubeconfig, options.port) as port:
            await _serve(port)
        return
    living = {each.key: await ready_pods(options.kubeconfig, each.namespace, each.name) for each in scenario.services}
    handover = scenario.hand_over(time.time(), living)
    async with serving(handover.exporter, options.kubeconfig, options.port) as port:
        if options.fill is not None:
            _say(f"{await handover.fill(options.fill):,} samples sent to {options.fill}")
        await _serve(port)


async def _serve(port: int) -> None:
    _say(f"metrics on http://127.0.0.1:{port}/metrics, faults on /faults")
    await _until_told_to_stop()


async def _history(options: argparse.Namespace) -> None:
    scenario, began = _scenario(options), time.monotonic()
    count = await asyncio.to_thread(scenario.write_blocks, options.data_directory, options.promtool)
    _say(f"{count:,} samples in blocks of {options.data_directory}, {time.monotonic() - began:.1f} s")
    _say(
        f"go on from them with: run --since {scenario.plan.start_seconds:.0f} --fill PROMETHEUS_URL, and the same load"
    )


async def _external_metrics(options: argparse.Namespace) -> None:
    queries = dict(query.split("=", 1) for query in options.query)
    metrics = external_metrics.ExternalMetrics(options.prometheus, queries)
    async with external_metrics.serving(metrics, options.certificate, options.key, options.port) as port:
        _say(f"external.metrics.k8s.io/v1beta1 on https://127.0.0.1:{port}: {', '.join(queries)}")
        await _until_told_to_stop()


def _scenario(options: argparse.Namespace) -> Scenario:
    replica = Replica(capacity_per_second=options.capacity_per_replica)
    names = [each.split("/", 1) for each in options.deployment]
    services = [Service(namespace, name, replica=replica) for namespace, name in names]
    began = (
        options.since if options.since is not None else time.time() // options.step * options.step - _HISTORY_SECONDS
    )
    plan = PastPlan.before(began + _HISTORY_SECONDS, step_seconds=options.step)
    return Scenario(services, _demand(options), plan)


def _demand(options: argparse.Namespace) -> Demand:
    if options.trace is not None:
        trace = read_trace(options.trace, options.column)
        start = options.trace_start if options.trace_start is not None else time.time()
        return TraceDemand(trace, start, options.time_scale, options.per_second, repeats=True)
    if options.ramp_at is not None:
        return morning_ramp(options.ramp_at, seed=options.seed)
    return DemandShape(seed=options.seed, bursts_per_day=3.0, day_seconds=86_400 / options.time_scale)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hack.load", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="serve the metrics of simulated services that follow their Deployments")
    run.add_argument("--kubeconfig", required=True)
    run.add_argument("--port", type=int, default=0, help="0: any free one (default)")
    run.add_argument("--fill", metavar="URL", help="send what no block holds to the Prometheus there, up to now")
    history = verbs.add_parser("history", help="write two weeks of history as blocks, all but the last three hours")
    history.add_argument("--data-directory", type=Path, required=True, help="Prometheus must not run on it yet")
    history.add_argument("--promtool", type=Path, default=Path("promtool"))
    for verb in (run, history):
        _add_load_options(verb)
    external = verbs.add_parser("external-metrics", help="serve PromQL to the HPA controller")
    external.add_argument("--prometheus", required=True, help="URL")
    external.add_argument("--certificate", type=Path, required=True)
    external.add_argument("--key", type=Path, required=True)
    external.add_argument("--query", action="append", required=True, metavar="NAME=PROMQL")
    external.add_argument("--port", type=int, default=0)
    return parser


def _add_load_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--deployment", action="append", required=True, metavar="NAMESPACE/NAME")
    verb.add_argument("--capacity-per-replica", type=float, default=10.0, help="requests per second")
    verb.add_argument("--since", type=float, metavar="EPOCH", help="when the history begins; fourteen days")
    verb.add_argument("--step", type=float, default=15.0, help="seconds between samples of the history")
    verb.add_argument("--seed", type=int, default=1)
    verb.add_argument("--ramp-at", type=float, metavar="EPOCH", help="a daily ramp at this instant and all days before")
    verb.add_argument("--time-scale", type=float, default=1.0, help="how many times faster than the clock")
    verb.add_argument("--trace", type=Path, help="a CSV: time in the first column, then values; repeated without end")
    verb.add_argument("--column", help="of the trace; the first value column by default")
    verb.add_argument("--per-second", type=float, default=1.0, help="requests per second that a value of 1 stands for")
    verb.add_argument("--trace-start", type=float, metavar="EPOCH", help="when the first row is played; default now")


async def _until_told_to_stop() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
