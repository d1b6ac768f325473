"""What the operator is told from outside: environment variables, each checked before anything starts.

``docs/configuration.md`` is rendered from the fields below; a test keeps it in step.
"""
# ruff: noqa: RUF009 - `_variable` returns a dataclass field, not a default

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from kcloud_autoscale.api.resolve import ResourceNames
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.observe.tenant_queries import ENFORCE_NAMESPACE, TenantQueries
from kcloud_autoscale.operator.setting_kinds import (
    HTTP_URL,
    LABEL_NAME,
    NAME_PATTERNS,
    NAMES,
    READABLE_FILE,
    SWITCH,
    TEXT,
    Kind,
    number,
    one_of,
    whole,
)

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _variable(name: str, kind: Kind, doc: str, default: Any, shown: str | None = None) -> Any:
    """A field that is read from the environment variable ``name``."""
    if shown is None:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    return field(default=default, metadata={"variable": name, "kind": kind, "doc": doc, "shown": shown})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of ``kcloud-autoscale run``."""

    prometheus_url: str = _variable(
        "PROMETHEUS_URL", HTTP_URL, "Prometheus or anything that speaks its HTTP API. Required.", "", "none"
    )
    prometheus_token_file: Path | None = _variable(
        "PROMETHEUS_TOKEN_FILE", READABLE_FILE, "File with a bearer token, read anew for each query.", None, "none"
    )
    prometheus_tenant: str = _variable(
        "PROMETHEUS_TENANT", TEXT, "Sent as `X-Scope-OrgID` to Mimir, Cortex or Thanos.", "", "none"
    )
    prometheus_ca_file: Path | None = _variable(
        "PROMETHEUS_CA_FILE", READABLE_FILE, "CA certificates Prometheus is checked against.", None, "the system's"
    )
    prometheus_timeout_seconds: float = _variable(
        "PROMETHEUS_TIMEOUT_SECONDS", number(0.1, 300), "Longest a single query may take.", 30.0
    )
    watch_namespaces: tuple[str, ...] = _variable(
        "WATCH_NAMESPACE", NAMES, "Namespaces to serve, separated by commas. Empty: all of them.", (), "all"
    )
    excluded_namespaces: tuple[str, ...] = _variable(
        "EXCLUDED_NAMESPACES",
        NAME_PATTERNS,
        "Namespaces in which nothing is scaled, whatever a WorkloadOptimizer there says, separated by commas; `*` "
        "stands for any characters, `-` alone for none.",
        ("kube-*",),
        "`kube-*`, and in a pod its own namespace",
    )
    pod_name: str = _variable(
        "POD_NAME", TEXT, "Identity in the Lease and in Events.", socket.gethostname(), "the host name"
    )
    pod_namespace: str = _variable(
        "POD_NAMESPACE",
        TEXT,
        "Where the Lease and the record of what was spent live: tenants must not write there. Read from the service "
        "account's mount when not set.",
        "",
        "of the service account, else `default`",
    )
    operator_name: str = _variable(
        "OPERATOR_NAME", TEXT, "Name of the Lease and the reporting controller of Events.", "kcloud-autoscale"
    )
    cycle_seconds: float = _variable("CYCLE_SECONDS", number(1, 3600), "Time between two fleet cycles.", 60.0)
    step_seconds: float = _variable("STEP_SECONDS", number(1, 3600), "Grid of the demand history.", 60.0)
    history_days: float = _variable(
        "HISTORY_DAYS", number(0.01, 90), "Demand read from Prometheus for a workload seen for the first time.", 14.0
    )
    settle_seconds: float = _variable(
        "SETTLE_SECONDS",
        number(0, 600),
        "A step of demand is read this long after its end: scrapes arrive late.",
        10.0,
    )
    time_scale: float = _variable(
        "TIME_SCALE", number(1, 1000), "For rehearsals only: the forecaster takes 1 s for this many.", 1.0
    )
    max_metric_age_seconds: float = _variable(
        "MAX_METRIC_AGE_SECONDS", number(1, 3600), "Older readings are stale: nothing is decided on them.", 180.0
    )
    default_lead_time_seconds: float = _variable(
        "DEFAULT_LEAD_TIME_SECONDS", number(1, 7200), "Time to a ready replica until start-ups have been seen.", 300.0
    )
    npu_resource_names: tuple[str, ...] = _variable(
        "NPU_RESOURCE_NAMES",
        NAMES,
        "Extended resources `resources.npu` may stand for, most wanted first.",
        ResourceNames().npu,
        ",".join(ResourceNames().npu),
    )
    tenant_queries: str = _variable(
        "TENANT_QUERIES",
        one_of(*TenantQueries),
        "What queries in WorkloadOptimizers may read: `enforceNamespace`: series of their own namespace; `allow`: any "
        "series the operator can read; `deny`: nothing, presets only.",
        ENFORCE_NAMESPACE.mode.value,
    )
    tenant_namespace_label: str = _variable(
        "TENANT_NAMESPACE_LABEL",
        LABEL_NAME,
        "Label of the store that names the namespace of a series, for `TENANT_QUERIES=enforceNamespace`.",
        ENFORCE_NAMESPACE.namespace_label,
    )
    leader_election: bool = _variable(
        "LEADER_ELECTION", SWITCH, "Act only while holding the Lease. Off only where one process runs.", True, "true"
    )
    dry_run: bool = _variable(
        "DRY_RUN", SWITCH, "Let the API server check every scaling and keep none.", False, "false"
    )
    write_qps: float = _variable(
        "WRITE_QPS",
        number(1, 1000),
        "Most writes to the API server per second, scaling before statuses. Halved by an answer of 429, regained step "
        "by step. Reads do not count; Events come on top, one for two attempts to scale.",
        20.0,
    )
    write_burst: int = _variable("WRITE_BURST", whole(11, 10_000), "Writes at once after a quiet time.", 40)
    resync_seconds: float = _variable(
        "RESYNC_SECONDS", number(5, 86_400), "How often our objects are listed anew, in case a watch lost one.", 600.0
    )
    bind_address: str = _variable("BIND_ADDRESS", TEXT, "Address the two ports listen on.", "0.0.0.0")
    metrics_port: int = _variable("METRICS_PORT", whole(0, 65_535), "`/metrics`. 0 takes any free port.", 8080)
    probe_port: int = _variable("PROBE_PORT", whole(0, 65_535), "`/healthz` and `/readyz`. 0: any free one.", 8081)
    log_level: str = _variable("LOG_LEVEL", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "Least severity.", "INFO")
    log_format: str = _variable("LOG_FORMAT", one_of("text", "json"), "One line per record, in this form.", "text")


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment.

    Raises:
        ConfigError: A value cannot work; the message names the variable, the value and the bound.
    """
    values = {item.name: _read(item, environment) for item in fields(Settings) if _given(item, environment)}
    settings = Settings(**{"pod_namespace": _own_namespace(), **_excluded(values), **values})
    if not settings.prometheus_url:
        raise ConfigError("PROMETHEUS_URL is not set: say where Prometheus is, as in http://prometheus.monitoring:9090")
    if settings.max_metric_age_seconds < settings.step_seconds:
        raise ConfigError(
            f"MAX_METRIC_AGE_SECONDS={settings.max_metric_age_seconds:g}: must be at least STEP_SECONDS "
            f"({settings.step_seconds:g}), or every reading is stale"
        )
    return settings


def _excluded(values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Where the operator is a pod, its own namespace too: what writes there could stop it, or scale its neighbours."""
    own = values.get("pod_namespace") or (_own_namespace() if NAMESPACE_FILE.is_file() else None)
    return {"excluded_namespaces": ("kube-*", own)} if own else {}


def render_markdown() -> str:
    """``docs/configuration.md``."""
    rows = [
        f"| `{item.metadata['variable']}` | {item.metadata['shown']} | {item.metadata['doc']} |"
        for item in fields(Settings)
    ]
    head = [
        "# Configuration",
        "",
        "Environment variables of `kcloud-autoscale run`. Generated by `make generate`.",
        "A value that cannot work stops the start with a message that names it.",
        "The cluster is the one of the mounted service account, else of `KUBECONFIG` (default `~/.kube/config`).",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _given(item: Field[Any], environment: Mapping[str, str]) -> bool:
    """An empty variable is one that is not set: manifests often leave them so."""
    return bool(environment.get(item.metadata["variable"], "").strip())


def _read(item: Field[Any], environment: Mapping[str, str]) -> Any:
    variable = item.metadata["variable"]
    raw = environment[variable].strip()
    try:
        return item.metadata["kind"].parse(raw)
    except ValueError as error:
        raise ConfigError(f"{variable}={raw}: {error}") from error


def _own_namespace() -> str:
    return NAMESPACE_FILE.read_text(encoding="utf-8").strip() if NAMESPACE_FILE.is_file() else "default"
