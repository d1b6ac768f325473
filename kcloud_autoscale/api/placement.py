"""`spec.placementPolicy`: where replicas may and should run, and whether they may be moved."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kcloud_autoscale.api.base import ApiModel, CountOrPercent, LabelKey, LabelValue, extra, label_keys
from kcloud_autoscale.api.rules import Rule, when


class AffinityTerm(ApiModel):
    """A preference for nodes with a label."""

    type: str = Field(
        min_length=1, max_length=63, description="What the preference is for, in your own words, as in gpu_workload."
    )
    key: LabelKey = Field(description="Key of the node label.")
    value: LabelValue = Field(description="Value of the node label.")
    weight: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="How much it counts against the other preferences, 1 (when not set) to 100.",
    )


class Toleration(ApiModel):
    """A toleration as in a Pod."""

    rules = (
        Rule(
            cel="!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            check=when(lambda t: t.get("operator") == "Exists" and bool(t.get("value")), "value"),
            text="value {} is set, but operator Exists compares no value",
            says=("self.value",),
            field=".value",
        ),
        Rule(
            cel="has(self.operator) && self.operator == 'Exists' || has(self.key)",
            check=when(lambda t: t.get("operator") != "Exists" and "key" not in t),
            text="operator Equal needs a key; without one use operator Exists, which tolerates every taint",
        ),
        Rule(
            cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            check=when(
                lambda t: "tolerationSeconds" in t and t.get("effect") != "NoExecute",
                "tolerationSeconds",
                lambda t: t.get("effect", "any"),
            ),
            text="tolerationSeconds {} needs effect NoExecute, not {}",
            says=("self.tolerationSeconds", "has(self.effect) ? self.effect : 'any'"),
            field=".tolerationSeconds",
        ),
    )

    key: LabelKey | None = Field(default=None, description="Key of the taint; absent with Exists matches every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(
        default=None, description="How the value is compared; Equal when not set."
    )
    value: LabelValue | None = Field(default=None, description="Value of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; every effect when not set."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=2_147_483_647, description="For NoExecute: how long the pod may stay."
    )


class Migration(ApiModel):
    """Whether running pods may be moved to save money or watts."""

    enabled: bool = Field(
        default=False,
        description="Allow moves by eviction. PodDisruptionBudgets, karpenter.sh/do-not-disrupt and safe-to-evict are "
        "respected.",
    )
    min_savings_percent: float = Field(
        default=10.0, ge=0, le=100, description="Move only what becomes cheaper by at least this many percent."
    )
    max_unavailable: CountOrPercent = Field(
        default=1, description='How many replicas may be missing during moves: a number, or percent as in "10%".'
    )


class PlacementPolicy(ApiModel):
    """Where replicas may and should run. What a pod says itself wins."""

    node_selector: dict[str, LabelValue] | None = Field(
        default=None,
        max_length=16,
        description="Labels a node must have.",
        json_schema_extra=extra(label_keys("nodeSelector")),
    )
    affinity: list[AffinityTerm] | None = Field(
        default=None, max_length=16, description="Labels a node should have; they become preferred node affinity."
    )
    tolerations: list[Toleration] | None = Field(
        default=None, max_length=16, description="Taints the replicas tolerate."
    )
    migration: Migration | None = Field(default=None, description="Whether running pods may be moved.")
