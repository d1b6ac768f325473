"""The fitting worker: ``python -m kcloud_autoscale.operator.fitter_main MEMORY_BYTES HARD_SECONDS``.

Like the forecast worker (`worker_main`), with another errand: stretches of demand in, fits of statsmodels out. It is a
process of its own, started when the first workload asks for a model, because the library takes a hundred megabytes
that nobody else should pay for, and because a fit of seconds must not stand between a history and its lesson.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import numpy as np

from kcloud_autoscale.domain.policy import MODELS
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.fitting import Wanted, fit
from kcloud_autoscale.forecast.parcel import receive_wanted, send_fit
from kcloud_autoscale.operator.errand import serve

# Whoever decides goes first: nobody waits for a fit.
NICENESS = 10


def main(memory_bytes: int, hard_seconds: int) -> int:
    """Fit until the input ends."""
    os.nice(NICENESS)
    load_everything()

    def answer(questions: BinaryIO, answers: BinaryIO) -> None:
        send_fit(answers, fit(*receive_wanted(questions)))

    return serve(answer, memory_bytes, hard_seconds)


def load_everything() -> None:
    """Fit each model once, to four days of two-hour steps: what is imported late could not be any more."""
    demand = DemandHistory(0.0, 7_200.0, 2.0 + np.cos(np.arange(96.0)))
    for model in MODELS:
        fit(Wanted("", model, 0, 95), demand)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
