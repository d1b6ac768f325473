"""Two weeks of measurements in a Prometheus that has only just been started.

promtool writes blocks for all but the last three hours: those belong to the head block, which a running Prometheus
does not share. Remote write brings the rest, once Prometheus is up, up to the moment the exporter is scraped for the
first time. The Prometheus needs `--storage.tsdb.retention.time` beyond the history (15 days is its default, and it
deletes at start), `--web.enable-remote-write-receiver`, and `storage.tsdb.out_of_order_time_window` of more than
three hours.
"""

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from hack.load.past import Past, Track
from hack.load.remote_write import remote_write
from hack.load.service import Node, node_levels

HEAD_SECONDS = 3 * 3600.0
# One pass over the text per block. promtool takes the largest of 2 h × 3ⁿ below this: 486 h, so two weeks are one or
# two blocks; with its default of 2 h they are 168, and take minutes.
_MAX_BLOCK_HOURS = 486
_PROMTOOL_TIMEOUT_SECONDS = 300.0


class HistoryError(Exception):
    """promtool could not make blocks; the message is its own."""


def write_blocks(data_directory: Path, tracks: Iterable[Track], until_seconds: float, promtool: Path) -> int:
    """Make TSDB blocks of all samples before `until_seconds` (at least three hours ago); returns the number of samples.

    Raises:
        HistoryError: promtool refused.
    """
    data_directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_directory.parent) as scratch:
        text = Path(scratch) / "history.om"
        count = write_openmetrics(text, tracks, until_seconds)
        options = [f"--max-block-duration={_MAX_BLOCK_HOURS}h", "--quiet"]
        done = subprocess.run(
            [str(promtool), "tsdb", "create-blocks-from", *options, "openmetrics", str(text), str(data_directory)],
            capture_output=True,
            text=True,
            timeout=_PROMTOOL_TIMEOUT_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise HistoryError(f"promtool: {(done.stderr or done.stdout).strip()}")
    return count


def write_openmetrics(path: Path, tracks: Iterable[Track], until_seconds: float) -> int:
    """Samples before `until_seconds` as OpenMetrics text; returns how many."""
    count = 0
    with path.open("w", buffering=1 << 20) as file:
        for track in tracks:
            part = track.between(-np.inf, until_seconds)
            times = np.char.mod("%.3f", part.times_seconds).tolist()
            values = part.values.tolist()
            name = str(part.series)
            file.writelines([f"{name} {value} {at}\n" for value, at in zip(values, times, strict=True)])
            count += len(values)
        file.write("# EOF\n")
    return count


async def fill(prometheus_url: str, tracks: Iterable[Track], since_seconds: float) -> int:
    """Send all samples from `since_seconds` on to a running Prometheus; returns how many.

    Raises:
        RemoteWriteError: Prometheus refused.
    """
    recent = (track.between(since_seconds, np.inf) for track in tracks)
    return await remote_write(f"{prometheus_url.rstrip('/')}/api/v1/write", recent)


def all_tracks(pasts: Sequence[Past], nodes: Sequence[Node] = ()) -> Iterator[Track]:
    """Every series of several services, and the prices of their nodes for as long as detail is kept."""
    return chain(chain.from_iterable(past.tracks() for past in pasts), _node_tracks(pasts, nodes))


def _node_tracks(pasts: Sequence[Past], nodes: Sequence[Node]) -> Iterator[Track]:
    if not pasts:
        return
    times = pasts[0].times_seconds
    times = times[times >= pasts[0].plan.detail_since_seconds]
    for node in nodes:
        for key, value in node_levels(node).items():
            yield Track(key, times, np.full(len(times), value))
