"""The fitting worker: ``python -m kcloud_autoscale.operator.fitter_main MEMORY_BYTES HARD_SECONDS``.

Like the forecast worker (`worker_main`), with another errand: stretches of demand in, fits of statsmodels out. It is a
process of its own, started when the first workload asks for a model, because the library takes a hundred megabytes
that nobody else should pay for, and because a fit of seconds must not stand between a history and its lesson.
"""

from __future__ import annotations

import os
import signal
import sys

import numpy as np

from kcloud_autoscale.domain.policy import MODELS
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.fitting import Wanted, fit
from kcloud_autoscale.forecast.parcel import receive_wanted, send_fit, send_ready, send_refusal
from kcloud_autoscale.operator.worker_main import restrict

# Whoever decides goes first: nobody waits for a fit.
NICENESS = 10


def main(memory_bytes: int, hard_seconds: int) -> int:
    """Fit until the input ends; 1 after a fit that failed, because what it left behind is not to be trusted."""
    os.nice(NICENESS)
    load_everything()
    restrict(memory_bytes)
    send_ready(sys.stdout.buffer)
    while (asked := receive_wanted(sys.stdin.buffer)) is not None:
        signal.alarm(hard_seconds)
        try:
            send_fit(sys.stdout.buffer, fit(*asked))
        except BrokenPipeError:
            return 1
        except Exception as error:  # noqa: BLE001 - whatever it was, the sentence goes to those who asked
            send_refusal(sys.stdout.buffer, f"{type(error).__name__}: {error}")
            return 1
        signal.alarm(0)
    return 0


def load_everything() -> None:
    """Fit each model once, to four days of two-hour steps: what is imported late could not be any more."""
    demand = DemandHistory(0.0, 7_200.0, 2.0 + np.cos(np.arange(96.0)))
    for model in MODELS:
        fit(Wanted("", model, 0, 95), demand)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
