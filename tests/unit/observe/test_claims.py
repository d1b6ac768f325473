from __future__ import annotations

from typing import Any

import pytest

from kcloud_autoscale.domain.observation import ClaimedDevice
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.observe.claims import Claim, Slice, claim, claimed_devices, resource_slice
from kcloud_autoscale.observe.objects import pod_claims

DRIVER = "gpu.nvidia.com"


def a_claim(*devices: str, pods: int = 1, driver: str = DRIVER, **result: Any) -> Claim:
    results = [{"driver": driver, "pool": "n1", "device": name, "request": "r"} | result for name in devices]
    reserved = [{"resource": "pods", "name": f"p{i}", "uid": str(i)} for i in range(pods)]
    return claim({"status": {"allocation": {"devices": {"results": results}}, "reservedFor": reserved}})


def a_slice(generation: int = 1, product: str = "NVIDIA H100 80GB HBM3") -> Slice:
    whole = {"attributes": {"productName": {"string": product}, "type": {"string": "gpu"}},
             "capacity": {"memory": {"value": "80Gi"}}}  # fmt: skip
    mig = {"attributes": {"productName": {"string": product}, "type": {"string": "mig"},
                          "profile": {"string": "1g.10gb"}}}  # fmt: skip
    devices = [{"name": "gpu-0"} | whole, {"name": "gpu-0-mig-0"} | mig]
    pool = {"name": "n1", "generation": generation, "resourceSliceCount": 1}
    return resource_slice({"spec": {"driver": DRIVER, "pool": pool, "nodeName": "n1", "devices": devices}})


def resolved(made: Claim, *slices: Slice) -> tuple[ClaimedDevice, ...] | Missing:
    return claimed_devices(["c"], {"c": made}, slices or [a_slice()])


def fractions(got: tuple[ClaimedDevice, ...] | Missing) -> list[float]:
    assert not isinstance(got, Missing), got
    return [device.card_fraction for device in got]


def test_a_claim_holds_the_cards_it_was_given() -> None:
    got = resolved(a_claim("gpu-0"))
    assert got == (ClaimedDevice(DRIVER, "NVIDIA H100 80GB HBM3", 1.0, "gpu"),)


def test_a_slice_of_a_card_by_its_profile() -> None:
    assert fractions(resolved(a_claim("gpu-0-mig-0"))) == [pytest.approx(1 / 7)]
    assert fractions(resolved(a_claim("gpu-0-mig-0"), a_slice(product="NVIDIA A30"))) == [pytest.approx(1 / 4)]


def test_a_claim_that_two_pods_share_is_half_a_card_to_each() -> None:
    assert fractions(resolved(a_claim("gpu-0", pods=2))) == [0.5]


def test_a_card_that_several_claims_share_by_its_memory() -> None:
    assert fractions(resolved(a_claim("gpu-0", shareID="s", consumedCapacity={"memory": "20Gi"}))) == [0.25]
    assert isinstance(resolved(a_claim("gpu-0", shareID="s")), Missing)


def test_only_the_newest_generation_of_a_pool_is_believed() -> None:
    got = resolved(a_claim("gpu-0"), a_slice(1, "Tesla T4"), a_slice(2))
    assert not isinstance(got, Missing)
    assert got[0].product == "NVIDIA H100 80GB HBM3"


def test_administrators_access_holds_nothing_and_a_network_is_no_accelerator() -> None:
    assert resolved(a_claim("gpu-0", adminAccess=True)) == ()
    assert resolved(a_claim("eth1", driver="dra.net")) == ()


@pytest.mark.parametrize(
    ("names", "claims", "why"),
    [
        (["c"], {}, "ResourceClaim c cannot be read"),
        ([""], {}, "a ResourceClaim has no devices yet"),
        (["c"], {"c": claim({})}, "ResourceClaim c has no devices yet"),
        (["c"], {"c": a_claim("gpu-9")}, "no ResourceSlice of gpu.nvidia.com has device gpu-9 of pool n1"),
        (["c"], {"c": a_claim("x", driver="acme.dev")}, "driver acme.dev of a ResourceClaim is not known"),
    ],
)
def test_what_cannot_be_read_is_missing_with_its_reason(names: list[str], claims: dict[str, Claim], why: str) -> None:
    got = claimed_devices(names, claims, [a_slice()])
    assert isinstance(got, Missing)
    assert got.message == why


def test_a_pod_names_its_claims_itself_by_template_or_by_an_extended_resource() -> None:
    spec = {"resourceClaims": [{"name": "a", "resourceClaimName": "shared"}, {"name": "b"}, {"name": "c"}]}
    status = {"resourceClaimStatuses": [{"name": "b", "resourceClaimName": "pod-b-x"}],
              "extendedResourceClaimStatus": {"resourceClaimName": "pod-ext"}}  # fmt: skip
    assert pod_claims(spec, status) == ("shared", "pod-b-x", "", "pod-ext")
