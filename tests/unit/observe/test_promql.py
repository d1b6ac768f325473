"""Quoting, naming of pods, and queries that are short enough."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.api.promql import quoted
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.presets import PRESETS
from kcloud_autoscale.observe.promql import (
    MAX_QUERY_LENGTH,
    POD,
    PodNaming,
    Selection,
    any_of,
    literal,
    matchers,
    pod_naming,
    split,
)


def unquoted(text: str) -> str:
    """What PromQL makes of a literal: the escapes of Go."""
    assert text[0] == text[-1] == '"'
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), text[1:-1])


@given(st.text())
def test_a_quoted_value_ends_where_its_literal_ends(value: str) -> None:
    text = quoted(value)
    # No quote inside that is not escaped, so nothing can follow the value.
    assert not re.search(r'(?<!\\)(?:\\\\)*"', text[1:-1])
    assert "\n" not in text
    assert unquoted(text) == value


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=1), st.text(max_size=5))
def test_a_literal_matches_itself_and_nothing_longer(value: str, more: str) -> None:
    pattern = literal(value)
    assert re.fullmatch(pattern, value)
    assert bool(re.fullmatch(pattern, value + more)) == (more == "")


def test_longer_names_are_tried_first() -> None:
    assert any_of(["llm", "llm-batch", "a.b"]) == r"llm-batch|a\.b|llm"


@pytest.mark.parametrize(
    ("kind", "pod", "matches"),
    [
        ("Deployment", "llm-6d9f7c5b8-x2k4z", True),
        ("Deployment", "llm-batch-6d9f7c5b8-x2k4z", False),  # Deployment llm-batch: `batch` has a vowel
        ("Deployment", "llm-0", False),
        ("Deployment", "my-llm-6d9f7c5b8-x2k4z", False),
        ("StatefulSet", "llm-0", True),
        ("StatefulSet", "llm-12", True),
        ("StatefulSet", "llm-6d9f7c5b8-x2k4z", False),
        ("LeaderWorkerSet", "llm-0", True),
        ("LeaderWorkerSet", "llm-0-3", True),
        ("ReplicaSet", "llm-x2k4z", True),
        ("InferenceService", "llm-predictor-00001-deployment-6d9f7c5b8-x2k4z", True),
        ("InferenceService", "llm", False),
    ],
)
def test_pods_are_told_by_how_their_controller_names_them(kind: str, pod: str, matches: bool) -> None:
    assert bool(re.fullmatch(f"llm{pod_naming(kind).value}", pod)) is matches


def test_a_series_under_exported_labels_is_not_counted_under_plain_ones_too() -> None:
    selection = Selection(("ai",), ("llm",))
    assert 'exported_pod=""' in matchers(selection, POD[0])
    assert "exported_pod=~" in matchers(selection, POD[1])


def test_queries_are_split_until_each_is_short_enough() -> None:
    names = tuple(f"a-model-server-with-a-long-name-{i:04d}" for i in range(1000))

    parts = split(Selection(("ai",), names), lambda part: queries.demand(PRESETS["vllm"], 75.0, part))

    assert all(len(text) <= MAX_QUERY_LENGTH for text, _ in parts)
    assert sorted(name for _, part in parts for name in part.names) == sorted(names)
    # Three metrics, each under two spellings of the pod label: 6 x 40 letters a name, so some 60 names fit.
    assert len(parts) <= 32


@given(st.text(), st.text())
def test_a_user_query_takes_values_only_inside_its_quotes(namespace: str, name: str) -> None:
    text = queries.user_query('up{namespace="{{namespace}}", app="{{name}}"}', namespace, name)

    inside = re.fullmatch(r'up\{namespace="((?:[^"\\]|\\.)*)", app="((?:[^"\\]|\\.)*)"\}', text, re.DOTALL)
    assert inside is not None
    if "{{" not in namespace:
        assert unquoted(f'"{inside[1]}"') == namespace
        assert unquoted(f'"{inside[2]}"') == name


def test_a_dot_in_a_name_matches_only_a_dot_in_a_pattern_and_stays_one_in_an_exact_match() -> None:
    text = queries.user_query('a{pod=~"{{name}}-.*", app="{{name}}"}', "ai", "v1.5")
    assert text == 'a{pod=~"v1\\\\.5-.*", app="v1.5"}'


def test_every_preset_tells_its_load_and_how_old_it_is() -> None:
    assert sorted(PRESETS) == sorted(
        ["vllm", "sglang", "tgi", "triton", "kserve", "knative", "istio", "nginx", "ray-serve", "http"]
    )
    assert all(preset.loads and preset.proof for preset in PRESETS.values())
    assert PodNaming.ANY is pod_naming("Whatever")
