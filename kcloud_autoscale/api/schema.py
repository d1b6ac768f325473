"""pydantic model -> structural schema, the dialect of OpenAPI that CustomResourceDefinitions take.

The tree keeps `Rule` objects under ``x-kubernetes-validations``; `crd` renders them as CEL and `validate` runs them
as Python, so that both say the same of the same schema.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from kcloud_autoscale.api.base import VALIDATIONS
from kcloud_autoscale.api.v1alpha1 import KindInfo

Schema = dict[str, Any]

_DROPPED = ("title", "$defs")


def _without_null(node: Mapping[str, Any]) -> Schema:
    """``anyOf [X, null]`` is how pydantic says optional; Kubernetes says it by leaving the field out."""
    node = dict(node)
    branches = node.get("anyOf", [])
    if {"type": "null"} not in branches:
        return node
    kept = [branch for branch in branches if branch != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    merged = {**kept[0], **rest} if len(kept) == 1 else {**rest, "anyOf": kept}
    if rest.get("default", ...) is None:
        del merged["default"]
    return merged


def _boolean_bounds(node: Schema) -> Schema:
    """``exclusiveMinimum: 0`` of JSON Schema 2020 is ``minimum: 0, exclusiveMinimum: true`` in OpenAPI 3.0."""
    for bound in ("minimum", "maximum"):
        exclusive = "exclusive" + bound.capitalize()
        if exclusive in node:
            node[bound] = node[exclusive]
            node[exclusive] = True
    return node


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    node = _without_null(node)
    if reference := node.pop("$ref", None):
        # What stands beside the reference (this field's description) wins over the model's own.
        node = {**definitions[reference.rsplit("/", 1)[1]], **node}
    node = _boolean_bounds({key: value for key, value in node.items() if key not in _DROPPED})
    if node.get("default") in ([], {}):
        del node["default"]  # an empty list says no more than none
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "properties" in node:
        node["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
        node.pop("additionalProperties", None)  # unknown fields are refused by pruning and strict decoding
    if isinstance(node.get("additionalProperties"), dict):
        node["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "items" in node:
        node["items"] = _structural(node["items"], definitions)
        node.setdefault("x-kubernetes-list-type", "atomic")
    if "x-kubernetes-int-or-string" in node:
        node.pop("type", None)
    return node


@functools.cache
def schema_of(info: KindInfo) -> Schema:
    """The whole schema of a kind, `Rule` objects included. Shared: do not change it."""
    generated = info.model.model_json_schema(by_alias=True, mode="validation")
    definitions = generated["$defs"]
    schema: Schema = {
        "type": "object",
        "description": re.sub(r"(?<!\n)\n(?!\n)", " ", generated["description"]),  # lines joined, paragraphs kept
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of this object: kcloud.io/v1alpha1."},
            "kind": {"type": "string", "description": f"Kind of this object: {info.kind}."},
            "metadata": {"type": "object"},
            "spec": _structural(generated["properties"]["spec"], definitions),
            "status": _structural(generated["properties"]["status"], definitions),
        },
    }
    schema["properties"]["status"].pop("default", None)
    if info.rules:
        schema[VALIDATIONS] = list(info.rules)
    return schema
