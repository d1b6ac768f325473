"""The verdict of the API server on one object, offline: the same schema, the same rules, plainer words.

Used by the `validate` command and before a spec is resolved.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from kcloud_autoscale.api.base import PATTERN_WORDS, VALIDATIONS, fully
from kcloud_autoscale.api.problem import Location, Problem
from kcloud_autoscale.api.rules import cel_string
from kcloud_autoscale.api.schema import Schema, schema_of
from kcloud_autoscale.api.v1alpha1 import API_VERSION, BY_KIND, GROUP

_METADATA_FIELDS = [
    *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid"),
    *("resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    *("managedFields", "selfLink"),
]
_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


def is_ours(manifest: object) -> bool:
    """Whether an object belongs to our API group, in whatever version."""
    return isinstance(manifest, Mapping) and str(manifest.get("apiVersion", "")).split("/")[0] == GROUP


def check(manifest: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with one object; empty when the API server would take it."""
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    if version != API_VERSION:
        return [Problem(("apiVersion",), f"{_shown(version)} is not {API_VERSION}", version, API_VERSION)]
    if kind not in BY_KIND:
        return [Problem(("kind",), _none_of(kind, list(BY_KIND)), kind, list(BY_KIND))]
    schema = schema_of(BY_KIND[kind])
    found = [*_unknown_fields(schema, manifest, ()), *_metadata(manifest.get("metadata"))]
    # What the main resource says of the status is ignored, so it is not checked beyond its fields' names.
    spoken = {key: value for key, value in manifest.items() if key != "status"}
    value = _defaulted(schema, spoken)
    structural = list(_structure(schema, value, ()))
    # The API server runs no rule at all beside a structural fault; here the rest is told at once.
    spoilt = {problem.location[:length] for problem in structural for length in range(len(problem.location) + 1)}
    return [*found, *structural, *_rules(schema, value, (), spoilt)]


def _metadata(metadata: object) -> Iterator[Problem]:
    if not isinstance(metadata, Mapping) or not (metadata.get("name") or metadata.get("generateName")):
        yield Problem(("metadata", "name"), "is required")
        return
    for field in metadata:
        if field not in _METADATA_FIELDS:
            yield _unknown(("metadata", field), _METADATA_FIELDS)
    name = metadata.get("name")
    if name is not None and not (isinstance(name, str) and len(name) <= 253 and fully(_OBJECT_NAME).search(name)):
        message = f"{_shown(name)} is not a name: at most 253 lower case letters, digits, '-' and '.'"
        yield Problem(("metadata", "name"), message, name, 253)


def _unknown(location: Location, known: list[str]) -> Problem:
    field = str(location[-1])
    close = difflib.get_close_matches(field, known, n=1, cutoff=0.7)
    hint = f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"
    return Problem(location, "unknown field" + hint, field, known)


def _unknown_fields(schema: Schema, value: object, location: Location) -> Iterator[Problem]:
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from _unknown_fields(schema.get("items", {}), item, (*location, position))
    if not isinstance(value, Mapping) or "properties" not in schema:
        return
    for field, child in value.items():
        if field in schema["properties"]:
            yield from _unknown_fields(schema["properties"][field], child, (*location, field))
        else:
            yield _unknown((*location, field), list(schema["properties"]))


def _defaulted(schema: Schema, value: Any) -> Any:
    """A copy with defaults filled in; null is the same as absent."""
    if isinstance(value, list) and "items" in schema:
        return [_defaulted(schema["items"], item) for item in value]
    if not isinstance(value, Mapping):
        return value
    children = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    given = {
        field: _defaulted(children.get(field, rest), child)
        for field, child in value.items()
        if child is not None or not (field in children or rest)
    }
    defaults = {field: child["default"] for field, child in children.items() if "default" in child}
    return {**defaults, **given}


def _structure(schema: Schema, value: Any, location: Location) -> Iterator[Problem]:
    """Types, bounds, words and lengths, from the top down."""
    wrong_type = _type_problem(schema, value, location)
    if wrong_type is not None:
        yield wrong_type
        return
    yield from _bounds(schema, value, location)
    if isinstance(value, Mapping):
        for field in schema.get("required", []):
            if field not in value:
                yield Problem((*location, field), "is required")
    for part, of_child, child in _children(schema, value):
        yield from _structure(of_child, child, (*location, part))
    if isinstance(value, list):
        yield from _duplicates(schema, value, location)


def _rules(schema: Schema, value: Any, location: Location, spoilt: Set[Location]) -> Iterator[Problem]:
    """What the rules say of everything that has the right structure, down to the last leaf."""
    for part, of_child, child in _children(schema, value):
        yield from _rules(of_child, child, (*location, part), spoilt)
    for rule in schema.get(VALIDATIONS, []) if location not in spoilt else []:
        message = rule.message(value)
        if message is not None:
            field = tuple(part for part in rule.field.split(".") if part)
            yield Problem((*location, *field), message, _at(value, field), rule.text)


def _at(value: Any, field: tuple[str, ...]) -> object:
    for part in field:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _children(schema: Schema, value: Any) -> Iterator[tuple[str | int, Schema, Any]]:
    """Key or position, schema and value of everything right below a value that the schema knows."""
    if isinstance(value, Mapping):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        yield from ((field, known.get(field, rest), child) for field, child in value.items() if field in known or rest)
    if isinstance(value, list):
        yield from ((position, schema.get("items", {}), item) for position, item in enumerate(value))


def _duplicates(schema: Schema, items: list[Any], location: Location) -> Iterator[Problem]:
    keys = schema.get("x-kubernetes-list-map-keys", [])
    seen: set[tuple[str, ...]] = set()
    for position, item in enumerate(items if keys else []):
        if not isinstance(item, Mapping):
            continue  # its type has been told
        identity = tuple(str(item.get(key)) for key in keys)
        if identity in seen:
            said = ", ".join(f"{key} {part}" for key, part in zip(keys, identity, strict=True))
            yield Problem((*location, position), f"duplicate: {said} is there already; at most 1 each", identity, 1)
        seen.add(identity)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, Mapping),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v),
    "integer": lambda v: isinstance(v, int | float) and not isinstance(v, bool) and float(v).is_integer(),
}


def _type_problem(schema: Schema, value: Any, location: Location) -> Problem | None:
    wanted = ["integer", "string"] if schema.get("x-kubernetes-int-or-string") else [schema.get("type", "object")]
    if any(_TYPES[name](value) for name in wanted):
        return None
    expected = " or ".join(wanted)
    hint = "; YAML reads a bare Off, On, Yes or No so: put it in quotes" if isinstance(value, bool) else ""
    return Problem(
        location, f"{_shown(value)} is not of type {expected}{hint if 'string' in wanted else ''}", value, expected
    )


def _bounds(schema: Schema, value: Any, location: Location) -> Iterator[Problem]:
    for find in (_enum, _range, _length, _pattern):
        found = find(schema, value)
        if found is not None:
            message, bound = found
            yield Problem(location, message, value, bound)


def _none_of(value: object, allowed: list[str]) -> str:
    close = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.7)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{_shown(value)} is none of {', '.join(allowed)}{hint}"


def _enum(schema: Schema, value: Any) -> tuple[str, object] | None:
    allowed = schema.get("enum")
    return None if allowed is None or value in allowed else (_none_of(value, allowed), allowed)


def _range(schema: Schema, value: Any) -> tuple[str, object] | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (value == low and schema.get("exclusiveMinimum"))):
        than = "must be greater than" if schema.get("exclusiveMinimum") else "is below the minimum"
        return f"{cel_string(value)} {than} {cel_string(low)}", low
    if high is not None and (value > high or (value == high and schema.get("exclusiveMaximum"))):
        than = "must be less than" if schema.get("exclusiveMaximum") else "is above the maximum"
        return f"{cel_string(value)} {than} {cel_string(high)}", high
    return None


_LENGTHS = (
    (str, "minLength", "maxLength", "characters"),
    (list, "minItems", "maxItems", "items"),
    (Mapping, "minProperties", "maxProperties", "entries"),
)


def _length(schema: Schema, value: Any) -> tuple[str, object] | None:
    for kind, low, high, things in _LENGTHS:
        if not isinstance(value, kind):
            continue
        if low in schema and len(value) < schema[low]:
            return f"{_shown(value)} has {len(value)} {things}, fewer than {schema[low]}", schema[low]
        if high in schema and len(value) > schema[high]:
            return f"{_shown(value)} has {len(value)} {things}, more than {schema[high]}", schema[high]
    return None


def _pattern(schema: Schema, value: Any) -> tuple[str, object] | None:
    pattern = schema.get("pattern")
    if pattern is None or not isinstance(value, str) or fully(pattern).search(value):
        return None
    return f"{_shown(value)} {PATTERN_WORDS.get(pattern, f'does not match {pattern}')}", pattern


def _shown(value: object) -> str:
    """A value as people wrote it, cut when long."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = cel_string(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else re.sub(r"\s+", " ", text)
