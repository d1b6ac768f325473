from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kcloud_autoscale.api.effect import fields_honoured, without_effect
from kcloud_autoscale.api.resolve import parse

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def load(name: str) -> dict:
    return yaml.safe_load((EXAMPLES / name).read_text())


def test_a_spec_that_is_wholly_acted_on_says_so() -> None:
    fact = fields_honoured(parse(load("01-minimal.yaml")))
    assert (fact.type, fact.status, fact.reason) == ("FieldsHonoured", True, "AllInEffect")


@pytest.mark.parametrize(
    ("example", "idle"),
    [
        ("05-cost-policy.yaml", ("spotInstancePolicy", "alertThresholds")),
        (
            "06-power-policy.yaml",
            ("powerEfficiencyTarget", "greenEnergyPolicy", "powerSchedulingPolicy", "powerAlertThresholds"),
        ),
        ("07-placement.yaml", ("placementPolicy",)),
    ],
)
def test_each_field_without_effect_is_named(example: str, idle: tuple[str, ...]) -> None:
    item = parse(load(example))
    named = without_effect(item)
    assert {f"spec.{path}" for path in idle} <= set(named)
    fact = fields_honoured(item)
    assert fact.status is False
    assert all(path in fact.message for path in named)


def test_a_preference_switched_off_asks_for_nothing() -> None:
    manifest = load("01-minimal.yaml")
    manifest["spec"]["costConstraints"] = {"preferSpot": False, "maxCostPerHour": 50.0}
    assert without_effect(parse(manifest)) == ()
    manifest["spec"]["costConstraints"]["preferSpot"] = True
    assert without_effect(parse(manifest)) == ("spec.costConstraints.preferSpot",)
