"""How the image's build finds its base and its packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.image.base import base_of
from hack.image.build import ROOT, pip_settings
from hack.image.tools import ImageError


def test_a_stage_that_builds_on_another_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a AS b\nFROM b AS c\nFROM a\n")
    assert base_of(tmp_path / "Dockerfile") == "a"


def test_all_stages_of_the_dockerfile_have_one_base() -> None:
    assert base_of(ROOT / "Dockerfile").startswith("python:3.11")


@pytest.mark.parametrize("text", ["FROM a AS build\nFROM b\n", "RUN x\n"])
def test_several_bases_or_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(ImageError, match="one base is expected"):
        base_of(tmp_path / "Dockerfile")


def test_the_build_asks_the_index_this_machine_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    assert "index-url = https://packages.example/simple\n" in pip_settings()


def test_every_lock_the_dockerfile_installs_is_hashed() -> None:
    text = (ROOT / "Dockerfile").read_text()
    locks = [word for line in text.splitlines() if line.startswith("COPY") for word in line.split() if "lock" in word]
    assert locks == ["requirements-build.lock", "requirements.lock"]
    assert text.count("--require-hashes") == len(locks)
    for lock in locks:
        assert "--hash=sha256:" in (ROOT / lock).read_text()
