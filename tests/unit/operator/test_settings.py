from pathlib import Path

import pytest

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.operator.settings import load_settings, render_markdown

URL = {"PROMETHEUS_URL": "http://prometheus:9090"}


def test_defaults_are_those_of_the_design():
    settings = load_settings(URL)
    assert (settings.cycle_seconds, settings.history_days, settings.write_qps) == (60.0, 14.0, 20.0)
    assert settings.leader_election
    assert not settings.dry_run


def test_reads_each_kind_of_value():
    settings = load_settings(
        {
            **URL,
            "WATCH_NAMESPACE": "ai, batch",
            "CYCLE_SECONDS": "6",
            "LEADER_ELECTION": "no",
            "METRICS_PORT": "0",
            "LOG_LEVEL": "debug",
        }
    )
    assert settings.watch_namespaces == ("ai", "batch")
    assert (settings.cycle_seconds, settings.metrics_port, settings.log_level) == (6.0, 0, "DEBUG")
    assert not settings.leader_election


def test_an_empty_variable_is_one_that_is_not_set():
    assert load_settings({**URL, "CYCLE_SECONDS": "", "WATCH_NAMESPACE": " "}).cycle_seconds == 60.0


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CYCLE_SECONDS", "0.5", "CYCLE_SECONDS=0.5: must be from 1 to 3600"),
        ("CYCLE_SECONDS", "nan", "CYCLE_SECONDS=nan: must be from 1 to 3600"),
        ("CYCLE_SECONDS", "soon", "CYCLE_SECONDS=soon: must be a number from 1 to 3600"),
        ("METRICS_PORT", "70000", "METRICS_PORT=70000: must be a whole number from 0 to 65535"),
        ("METRICS_PORT", "-1", "METRICS_PORT=-1: must be a whole number"),
        ("LEADER_ELECTION", "maybe", "LEADER_ELECTION=maybe: must be true or false"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT=xml: must be one of text, json"),
        ("PROMETHEUS_URL", "prometheus:9090", "PROMETHEUS_URL=prometheus:9090: must be an http:// or https://"),
        ("PROMETHEUS_URL", "http://me:secret@host", "must not carry a password"),
        ("PROMETHEUS_TOKEN_FILE", "/nowhere/token", "PROMETHEUS_TOKEN_FILE=/nowhere/token: must be a readable file"),
    ],
)
def test_a_bad_value_is_named_with_its_bound(variable: str, value: str, says: str):
    with pytest.raises(ConfigError) as caught:
        load_settings({**URL, variable: value})
    assert says in str(caught.value)


def test_prometheus_must_be_named():
    with pytest.raises(ConfigError, match="PROMETHEUS_URL is not set"):
        load_settings({})


def test_readings_must_be_allowed_to_be_as_old_as_a_step():
    with pytest.raises(ConfigError, match="must be at least STEP_SECONDS"):
        load_settings({**URL, "STEP_SECONDS": "300"})


def test_the_document_is_in_step_with_the_settings():
    document = Path(__file__).parents[3] / "docs" / "configuration.md"
    assert document.read_text(encoding="utf-8") == render_markdown(), "run: make generate"
