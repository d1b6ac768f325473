from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kcloud_autoscale.cli.main import main

COMMITTED = Path(__file__).parents[3] / "crds"


def run(*arguments: str) -> int:
    return main(["crds", *arguments])


def test_printed_crds_can_be_piped_into_kubectl(capsys):
    assert run() == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [document["spec"]["names"]["shortNames"] for document in documents] == [["wo"], ["costpol"], ["powerpol"]]


def test_a_folder_gets_one_file_per_kind(tmp_path, capsys):
    assert run("--out", str(tmp_path / "new")) == 0
    written = {file.name: file.read_text() for file in (tmp_path / "new").iterdir()}
    assert written == {file.name: file.read_text() for file in COMMITTED.iterdir()}
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, capsys, place):
    (tmp_path / "file").write_text("")
    assert run("--out", str(tmp_path / place)) == 2
    assert "crds: cannot write" in capsys.readouterr().err
