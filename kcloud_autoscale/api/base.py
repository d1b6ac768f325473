"""What the three kinds share: the model base, quantities, label selectors and metadata."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from kcloud_autoscale.api.rules import Rule, Said, when

VALIDATIONS = "x-kubernetes-validations"

# Kubernetes' own pattern of a quantity, as every generated CRD has it.
QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
QUALIFIED_NAME_PATTERN = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"
)
LABEL_VALUE_PATTERN = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"

HOUR_RANGE_PATTERN = (
    r"^(([01]?[0-9]|2[0-3])|([01]?[0-9]|2[0-3])(:[0-5][0-9])?-(([01]?[0-9]|2[0-3])(:[0-5][0-9])?|24(:00)?))$"
)
NOT_BLANK_PATTERN = r"\S"
PERCENT_PATTERN = r"^([0-9]|[1-9][0-9]|100)%$"

# What a pattern asks for, for people; the API server can only show the pattern itself.
PATTERN_WORDS = {
    QUANTITY_PATTERN: "is not a quantity such as 16, 500m or 64Gi",
    QUALIFIED_NAME_PATTERN: "is not a qualified name such as example.com/name",
    LABEL_VALUE_PATTERN: "is not a label value (letters, digits, '-', '_', '.'; first and last a letter or digit)",
    HOUR_RANGE_PATTERN: "is not a range of hours such as 09:00-12:00, 22-6 or 14",
    NOT_BLANK_PATTERN: "is blank",
    PERCENT_PATTERN: "is not a percentage from 0% to 100%",
}


@functools.cache
def fully(pattern: str) -> re.Pattern[str]:
    """A pattern with Go's meaning: ``$`` is the end of the text, not before a last line break; ASCII classes."""
    return re.compile(re.sub(r"\$$", r"\\Z", pattern), re.ASCII)


_SUFFIX = {
    **{prefix + "i": Decimal(2) ** (10 * power) for power, prefix in enumerate("KMGTPE", start=1)},
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(1000),
    **{prefix: Decimal(1000) ** power for power, prefix in enumerate("MGTPE", start=2)},
}
_QUANTITY = re.compile(r"^([+-]?[0-9.]+)([KMGTPE]i|[numkMGTPE]?)$")


def parse_quantity(quantity: int | str) -> float:
    """A Kubernetes quantity in its base unit: ``500m`` is 0.5, ``64Gi`` is 68,719,476,736.

    Raises:
        ValueError: It is not a quantity.
    """
    text = str(quantity)
    if not fully(QUANTITY_PATTERN).match(text):
        raise ValueError(f"{text!r} is not a quantity such as 16, 500m or 64Gi")
    if match := _QUANTITY.match(text):
        return float(Decimal(match[1]) * _SUFFIX[match[2]])
    return float(text)


def extra(*rules: Rule, **keys: Any) -> Callable[[dict[str, Any]], None]:
    """Adds rules and ``x_kubernetes_…`` keys to the schema of a field."""

    def update(schema: dict[str, Any]) -> None:
        schema.update({key.replace("_", "-") if key.startswith("x_") else key: value for key, value in keys.items()})
        if rules:
            schema[VALIDATIONS] = list(rules)

    return update


# A list whose items are told apart by their type, so that two of one type are refused.
MAP_BY_TYPE = extra(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["type"])


class ApiModel(BaseModel):
    """A part of a spec: camelCase outside, unknown fields refused, rules in ``rules``."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema[VALIDATIONS] = list(cls.rules)
        return schema


class StatusModel(ApiModel):
    """A part of a status. Fields of another release are passed over: status is rebuilt every cycle."""

    model_config = ConfigDict(extra="ignore")


def _not_positive(quantity: int | str) -> Said:
    return None if parse_quantity(quantity) > 0 else (quantity,)


_POSITIVE = Rule(
    cel="quantity(string(self)).isGreaterThan(quantity('0'))",
    check=_not_positive,
    text="{} must be greater than 0",
    says=("self",),
)

_INT_OR_STRING = {"x_kubernetes_int_or_string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}

Quantity = Annotated[
    int | str,
    Field(json_schema_extra=extra(_POSITIVE, **_INT_OR_STRING, pattern=QUANTITY_PATTERN, maxLength=32)),
]

CountOrPercent = Annotated[
    int | str,
    Field(json_schema_extra=extra(**_INT_OR_STRING, pattern=PERCENT_PATTERN, minimum=0, maximum=10000, maxLength=4)),
]

LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=QUALIFIED_NAME_PATTERN)]
LabelValue = Annotated[str, Field(max_length=63, pattern=LABEL_VALUE_PATTERN)]


def label_keys(what: str) -> Rule:
    """Keys of a label map are qualified names; the schema language can only check the values."""

    def bad_key(labels: dict[str, str]) -> Said:
        bad = [key for key in labels if len(key) > 317 or not fully(QUALIFIED_NAME_PATTERN).match(key)]
        return (sorted(bad),) if bad else None

    pattern = QUALIFIED_NAME_PATTERN.replace("\\", "\\\\")
    good = f"key.size() <= 317 && key.matches('{pattern}')"
    return Rule(
        cel=f"self.all(key, {good})",
        check=bad_key,
        text=what + " has keys that are not label keys (example.com/name, at most 317 characters): {}",
        says=(f"self.filter(key, !({good}))",),
    )


class LabelSelectorRequirement(ApiModel):
    """One condition on a label."""

    rules = (
        Rule(
            cel="!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)",
            check=when(lambda r: r.get("operator") in ("In", "NotIn") and not r.get("values"), "operator", "key"),
            text="operator {} needs at least one value for key {}",
            says=("self.operator", "self.key"),
        ),
        Rule(
            cel="!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || self.values.size() == 0",
            check=when(
                lambda r: r.get("operator") in ("Exists", "DoesNotExist") and bool(r.get("values")),
                "operator",
                "key",
                lambda r: len(r["values"]),
            ),
            text="operator {} for key {} takes no values, but {} are given",
            says=("self.operator", "self.key", "self.values.size()"),
        ),
    )

    key: LabelKey = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label is compared.")
    values: list[LabelValue] = Field(
        default_factory=list, max_length=32, description="For In and NotIn: at least one. For the others: none."
    )


class LabelSelector(ApiModel):
    """A label selector as everywhere in Kubernetes; all conditions must hold."""

    match_labels: dict[str, LabelValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Labels that must be present with exactly these values.",
        json_schema_extra=extra(label_keys("matchLabels")),
    )
    match_expressions: list[LabelSelectorRequirement] = Field(
        default_factory=list, max_length=16, description="Conditions on labels; all must hold."
    )


class ObjectMeta(BaseModel):
    """The parts of an object's metadata that are read here."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Condition(StatusModel):
    """One aspect of the current state, in the standard Kubernetes shape."""

    type: str = Field(max_length=316, description="Which aspect, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds; Unknown when it cannot be told.")
    reason: str = Field(max_length=1024, description="Why, as one CamelCase word for machines.")
    message: str = Field(max_length=32768, description="Why, as a sentence for people, with its numbers.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(default=None, description="Generation of the spec this was said about.")
