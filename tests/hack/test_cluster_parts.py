"""Pins and the keys under which binaries are cached."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hack.cluster import parts
from hack.cluster.parts import CONTROL_PLANE, PARTS, Part


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    """A copy of etcd's folder whose files a test may change."""
    shutil.copytree(parts.PARTS_DIRECTORY / "etcd", tmp_path / "etcd")
    monkeypatch.setattr(parts, "PARTS_DIRECTORY", tmp_path)
    return Part("etcd", {"etcd": "go.etcd.io/etcd/server/v3"})


def test_the_key_is_stable_and_names_the_part(part: Part) -> None:
    assert part.key() == part.key()
    assert re.fullmatch(r"etcd-[0-9a-f]{12}", part.key())


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_a_changed_pin_changes_the_key(part: Part, file: str) -> None:
    before = part.key()
    with (part.folder / file).open("a") as pins:
        pins.write("\n")
    assert part.key() != before


def test_flags_commands_and_the_go_release_change_the_key(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        part.key(),
        replace(part, link_flags="-X a.b=c").key(),
        replace(part, build_tags="slim").key(),
        replace(part, commands={"etcd": "go.etcd.io/etcd/server/v4"}).key(),
    }
    monkeypatch.setattr(parts, "RELEASE", (1, 28))
    assert len(keys | {part.key()}) == 5


def test_the_shown_build_time_does_not_change_the_key(part: Part) -> None:
    assert replace(part, typical_build_seconds=999).key() == part.key()


def test_a_readme_beside_the_pins_does_not_change_the_key(part: Part) -> None:
    before = part.key()
    (part.folder / "README.md").write_text("words")
    assert part.key() == before


def test_every_part_is_pinned_with_hashes() -> None:
    """Each tool of a go.mod is a command that is built; each dependency has its hash in go.sum."""
    for each in PARTS:
        module = (each.folder / "go.mod").read_text()
        tools = set(re.findall(r"^(?:tool |\t)(\S+/\S+)$", module, re.MULTILINE))
        assert tools == {package for package in each.commands.values() if package != "."}, each.name
        required = re.findall(r"^(?:require |\t)(\S+ v\S+)(?: // indirect)?$", module, re.MULTILINE)
        sums = (each.folder / "go.sum").read_text() if required else ""
        unhashed = [line for line in required if f"{line} h1:" not in sums and f"{line}/go.mod h1:" not in sums]
        replaced = set(re.findall(r"^\t(\S+) =>", module, re.MULTILINE))
        assert [line for line in unhashed if line.split()[0] not in replaced] == [], each.name


def test_every_part_builds_with_any_go_of_the_release() -> None:
    """A go.mod that asks for 1.26.7 refuses the 1.26.6 of PyPI, which is the newest 1.26 there."""
    for each in PARTS:
        assert "\ngo 1.26.0\n" in (each.folder / "go.mod").read_text(), each.name


def test_the_kubernetes_stamp_agrees_with_the_pin() -> None:
    kubernetes = next(part for part in PARTS if part.name == "kubernetes")
    pinned = re.search(r"k8s\.io/kubernetes v(\S+)", (kubernetes.folder / "go.mod").read_text())
    assert pinned is not None
    assert pinned[1] == parts.KUBERNETES_VERSION
    assert f"gitVersion=v{pinned[1]}" in kubernetes.link_flags
    assert "gitMajor=1 " in kubernetes.link_flags
    assert kubernetes.link_flags.endswith("gitMinor=36")


def test_the_control_plane_is_made_of_known_parts() -> None:
    assert set(CONTROL_PLANE) < {part.name for part in PARTS}
