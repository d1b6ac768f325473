"""The part of an explanation that says what was saved, and what was not though it looks like it. Pure."""

from __future__ import annotations

from kcloud_autoscale.api.workload_status import SavingsStatus
from kcloud_autoscale.report.phrases import clock, folded, replicas

_BASELINES = {
    "hpa": "an HPA at 70 %",
    "static": "the peak of 14 days, always,",
    "previous": "as many replicas as ran at adoption",
}


def savings(told: SavingsStatus | None) -> list[str]:
    """Money beside the baseline's, over the time in which both are known."""
    if told is None or told.since is None:
        return []
    lines = []
    if told.usd is not None and told.baseline_usage is not None and told.baseline_usage.usd:
        lines += folded(_saved(told.usd, told.baseline_usage.usd, told))
    if told.unproven_usd:
        lines += folded(
            f"Unproven: {told.unproven_usd:,.2f} $ more were not spent while less was served than {_baseline(told)} "
            "would have served. They do not count as saved."
        )
    if told.lacking_replicas:
        lines += folded(
            f"Now {replicas(told.lacking_replicas)} {'are' if told.lacking_replicas > 1 else 'is'} lacking to serve as "
            "much as it would: nothing is saved until they serve."
        )
    if told.spent_usd:
        lines += folded(f"Spent in all: {told.spent_usd:,.2f} $.")
    return lines


def _saved(usd: float, baseline_usd: float, told: SavingsStatus) -> str:
    word = "Saved" if usd >= 0.0 else "Spent more"
    since = f" since {clock(told.since)}" if told.since is not None else ""
    share = f"{abs(usd) / baseline_usd:.1%} of the {baseline_usd:,.2f} $ that {_baseline(told)} would have cost"
    return f"{word}: {abs(usd):,.2f} ${since}, {share} in the same world."


def _baseline(told: SavingsStatus) -> str:
    return _BASELINES.get(told.baseline or "", "the baseline")
