"""The scores on the default bundle's card, measured anew on the series that it was not trained on."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from kcloud_autoscale.cli.training_data import TrainingData, made_up_again
from kcloud_autoscale.forecast.artifacts import SCORES_FILE, default_bundle_folder, load_bundle
from kcloud_autoscale.forecast.evaluate import cold_score
from kcloud_autoscale.forecast.priors import Knowledge

TITLE = "Default bundle: ten minutes of history, 0.95 pinball loss over the bare last value's"
HEAD = ("step, horizon", "starts", "on the card", "anew", "coverage on the card", "anew", "reproduced")
# The card has four digits; another processor's sines change the last.
SLACK = 2e-3


def rows(folder: Path | None = None) -> list[tuple[str, ...]]:
    """A line per cell of a bundle; none where its data cannot be made again."""
    where = folder or default_bundle_folder()
    bundle = load_bundle(where)
    data = made_up_again(bundle.provenance.data)
    if data is None:
        return []
    with (where / SCORES_FILE).open(encoding="utf-8") as file:
        return [_row(recorded, data, bundle.knowledge) for recorded in csv.DictReader(file)]


def _row(recorded: dict[str, str], data: TrainingData, knowledge: Knowledge) -> tuple[str, ...]:
    step, horizon = float(recorded["step_seconds"]), int(recorded["horizon_steps"])
    found = cold_score(data.held_out(step), step, horizon, knowledge)
    told = (float(recorded["pinball_ratio"]), float(recorded["coverage"]))
    same = all(
        math.isclose(old, new, abs_tol=SLACK)
        for old, new in zip(told, (found.pinball_ratio, found.coverage), strict=True)
    )
    return (
        f"{step:g} s, {horizon}",
        str(found.starts),
        f"{told[0]:.4f}",
        f"{found.pinball_ratio:.4f}",
        f"{told[1]:.4f}",
        f"{found.coverage:.4f}",
        "yes" if same and found.starts == int(recorded["starts"]) else "no",
    )
