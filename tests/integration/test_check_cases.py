"""Real inputs that are easily misread, through `check -f` on a real Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.cluster import Prometheus
from kcloud_autoscale.cli.main import main
from tests.integration.case_series import CASES, objects_of, write_blocks

pytestmark = pytest.mark.integration

Json = dict[str, Any]
ALL = sorted(path.name for path in CASES.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Address of a server with the series of all cases, and the instant of their last samples."""
    now = int(time.time()) // 3600 * 3600 - 7200
    data = write_blocks(ALL, now, tmp_path_factory.mktemp("cases"))
    with Prometheus() as server:
        server.start(data_dir=data)
        yield server.url, now


@pytest.fixture
def check(prometheus: tuple[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """One case as `check -f … -o json` tells it: its workloads by name."""

    def checked(case: str, *options: str) -> dict[str, Json]:
        url, now = prometheus
        path = tmp_path / "objects.yaml"
        path.write_text(objects_of(case))
        main(["check", "-f", str(path), "--prometheus", url, "--at", str(now), "-o", "json", *options])
        told = json.loads(capsys.readouterr().out)
        return {each["workload"].partition("/")[2]: each for each in told}

    return checked


def usd(told: Json) -> float:
    value: float = told["usdPerReplicaHour"]["value"]
    return value


def test_network_interfaces_beside_gpus_are_no_devices(check: Any) -> None:
    told = check("nics-beside-gpus")["chat"]
    assert told["devices"] == [{"resource": "nvidia.com/gpu", "count": 8, "cards": 8.0, "model": "h100"}]
    assert usd(told) == pytest.approx(55.04)
    assert told["wattsPerReplica"]["value"] == pytest.approx(7280.0)
    assert told["decision"]["to"] == 2


def test_a_contract_price_of_cards_is_believed_beside_network_interfaces(check: Any) -> None:
    assert usd(check("contract-price")["chat"]) == pytest.approx(8 * 2.5)


def test_four_time_slices_cost_one_card(check: Any) -> None:
    told = check("time-slices")["asr"]
    assert told["devices"][0]["cards"] == 0.25
    assert (usd(told), told["wattsPerReplica"]["value"]) == (pytest.approx(0.1325), pytest.approx(22.75))
    assert told["decision"]["to"] == 4


def test_seven_slices_of_strategy_single_cost_one_card(check: Any) -> None:
    told = check("mig-single")["embed"]
    assert (usd(told), told["wattsPerReplica"]["value"]) == (pytest.approx(2.74 / 7), pytest.approx(520 / 7))
    assert told["decision"]["to"] == 7


def test_a_workload_without_accelerators_costs_its_share_of_the_node(check: Any) -> None:
    told = check("cpu-workload")["web"]
    assert usd(told) == pytest.approx(1.6 * 8 / 31.85)
    assert told["decision"]["to"] == 4


def test_a_replica_that_fills_its_node_costs_the_node(check: Any) -> None:
    assert usd(check("whole-node")["chat"]) == pytest.approx(1.006)


def test_a_claim_that_cannot_be_read_leaves_the_price_unknown(check: Any) -> None:
    told = check("unread-claim")["chat"]
    assert told["usdPerReplicaHour"] == {"missing": "NoData", "message": "ResourceClaim chat-gpu-abc cannot be read"}
    assert told["decision"]["to"] == 1
    assert "PriceKnown: ResourceClaim chat-gpu-abc cannot be read" in told["doubts"]


def test_models_are_found_under_the_labels_of_every_cloud(check: Any) -> None:
    told = check("model-labels")
    models = {name: each["devices"][0]["model"] if each["devices"] else None for name, each in told.items()}
    assert models == {
        "az": "a100-80gb", "amd": "mi300x", "p4de": "a100-80gb", "eks": "h100", "aks": "h100-pcie", "gke": "a100-80gb",
        "gkespot": "l4", "ocp": "t4", "gh200": "gh200", "v5e": "tpu-v5e", "v6e": "tpu-v6e",
    }  # fmt: skip
    assert usd(told["amd"]) == pytest.approx(6.00)
    assert usd(told["p4de"]) == pytest.approx(3.43)


def test_a_dump_tells_the_same_without_its_prometheus_and_names_no_host(
    check: Any, prometheus: tuple[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dump"
    before = check("cpu-workload", "--dump", str(folder))["web"]
    assert "c-1" not in (folder / "objects.yaml").read_text()
    assert main(["check", "-f", str(folder), "-o", "json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out) == [before]


def test_a_price_that_leaps_is_doubted_and_cuts_nothing(check: Any) -> None:
    # 0.35 $/h for an hour, then 312.40 for three samples: under a cap of 10 $/h four replicas stay.
    told = check("price-leap")["chat"]
    assert usd(told) == pytest.approx(0.35)
    assert any("312.4 $/h is doubted" in doubt for doubt in told["doubts"])
    assert told["decision"]["to"] == 4


def test_a_mig_slice_has_no_utilization_and_is_not_idle(check: Any) -> None:
    told = check("mig-utilization", "--ticks", "8")["chat"]
    assert next(each for each in told["metrics"] if each["type"] == "gpu")["missing"] == "NoData"
    assert told["decision"]["to"] == 4
