"""``values.schema.json``: what a value of the chart may be, so that a typo is refused before anything is installed."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from kcloud_autoscale.observe.tenant_queries import TenantQueries
from kcloud_autoscale.operator.settings import Settings

Schema = dict[str, Any]

# What the chart itself sets from other values, or must not be set in a cluster.
CHARTS_OWN = frozenset(
    {
        "PROMETHEUS_URL",
        "PROMETHEUS_TOKEN_FILE",
        "PROMETHEUS_TENANT",
        "PROMETHEUS_CA_FILE",
        "WATCH_NAMESPACE",
        "EXCLUDED_NAMESPACES",
        "TENANT_QUERIES",
        "POD_NAME",
        "POD_NAMESPACE",
        "OPERATOR_NAME",
        "LEADER_ELECTION",
        "BIND_ADDRESS",
        "METRICS_PORT",
        "PROBE_PORT",
    }
)
TEXT: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}
FREE: Schema = {"type": "object"}
WORDS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
DNS_LABEL = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
# A namespace with * for any characters, or the template of the release's own.
NAME_PATTERN = r"^([a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?|\{\{ *\.Release\.Namespace *\}\})$"
DURATION = "^([0-9]+(ms|s|m|h))+$"


def render_values_schema() -> str:
    """The schema as a file."""
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **_closed(_values())}, indent=2) + "\n"


def _values() -> dict[str, Schema]:
    return {
        # Helm hands these to a chart that is part of another.
        "global": FREE,
        "nameOverride": TEXT,
        "fullnameOverride": TEXT,
        "image": _closed(
            {
                "repository": {"type": "string", "minLength": 1},
                "tag": TEXT,
                "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            }
        ),
        "imagePullSecrets": OBJECTS,
        "replicaCount": {"type": "integer", "minimum": 0, "maximum": 9},
        "prometheus": _closed(
            {
                "url": {"type": "string", "pattern": "^https?://[^/@]+(/.*)?$"},
                "tenant": TEXT,
                "tokenSecret": _closed({"name": TEXT, "key": TEXT}),
                "caConfigMap": _closed({"name": TEXT, "key": TEXT}),
            }
        ),
        "watchNamespaces": _strings(DNS_LABEL),
        "excludedNamespaces": _strings(NAME_PATTERN),
        "tenantQueries": {"enum": list(TenantQueries)},
        "settings": _closed(_settings()),
        "crds": _closed({"install": SWITCH, "keep": SWITCH}),
        "serviceAccount": _closed({"create": SWITCH, "name": TEXT, "annotations": WORDS}),
        "rbac": _closed(
            {"create": SWITCH, "scaleTargets": {"type": "array", "items": _scale_target()}, "aggregate": SWITCH}
        ),
        "service": _closed({"annotations": WORDS}),
        "serviceMonitor": _closed(
            {
                "enabled": SWITCH,
                "interval": {"type": "string", "pattern": DURATION},
                "additionalLabels": WORDS,
                "relabelings": OBJECTS,
                "metricRelabelings": OBJECTS,
            }
        ),
        "prometheusRule": _closed({"enabled": SWITCH, "additionalLabels": WORDS}),
        "dashboards": _closed({"enabled": SWITCH, "labels": WORDS, "annotations": WORDS}),
        "networkPolicy": _closed(
            {
                "enabled": SWITCH,
                "egressPorts": {
                    "description": "Of the API server and Prometheus; an empty list allows DNS alone.",
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1, "maximum": 65_535},
                },
                "metricsFrom": _peers("Who may read metrics; an empty list is nobody."),
                "probesFrom": _peers("Who may ask the probes beside the kubelet; an empty list is nobody."),
            }
        ),
        "podDisruptionBudget": _closed({"enabled": SWITCH, "maxUnavailable": {"type": ["integer", "string"]}}),
        "podAnnotations": WORDS,
        "podLabels": WORDS,
        "podSecurityContext": FREE,
        "securityContext": FREE,
        "resources": FREE,
        "nodeSelector": WORDS,
        "tolerations": OBJECTS,
        "affinity": FREE,
        "topologySpreadConstraints": OBJECTS,
        "priorityClassName": TEXT,
        "extraEnv": OBJECTS,
        "extraObjects": {"type": "array", "items": {"type": ["object", "string"]}},
    }


def _settings() -> dict[str, Schema]:
    """What `docs/configuration.md` lists, with the bounds the operator checks."""
    return {
        item.metadata["variable"]: {"description": item.metadata["doc"], **item.metadata["kind"].schema}
        for item in fields(Settings)
        if item.metadata["variable"] not in CHARTS_OWN
    }


def _strings(pattern: str) -> Schema:
    return {"type": "array", "items": {"type": "string", "pattern": pattern}, "uniqueItems": True}


def _scale_target() -> Schema:
    lower = {"type": "string", "pattern": "^[a-z0-9.-]+$"}
    return {**_closed({"apiGroup": lower, "resource": lower}), "required": ["apiGroup", "resource"]}


def _peers(description: str) -> Schema:
    """NetworkPolicyPeers that say something: an empty one is refused by the API server only when it is applied."""
    block = {**_closed({"cidr": {"type": "string", "minLength": 1}, "except": {"type": "array"}}), "required": ["cidr"]}
    peer = {**_closed({"namespaceSelector": FREE, "podSelector": FREE, "ipBlock": block}), "minProperties": 1}
    return {"description": description, "type": "array", "items": peer}


def _closed(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}
