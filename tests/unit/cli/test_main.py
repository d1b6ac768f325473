from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kcloud_autoscale import cli
from kcloud_autoscale.cli.main import VERBS, main


def test_every_verb_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert all(f"\n    {verb} " in told or f"\n    {verb}\n" in told for verb in VERBS)


def test_every_module_with_a_verb_is_listed() -> None:
    files = Path(cli.__path__[0]).glob("*.py")
    verbs = {file.stem for file in files if "\ndef add_parser(" in file.read_text()}
    assert verbs == set(VERBS)


def test_an_unknown_verb_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fly"])
    assert stopped.value.code == 2
    assert "'fly'" in capsys.readouterr().err


def test_an_error_of_ours_is_a_sentence_and_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    assert main(["run"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("kcloud-autoscale run: PROMETHEUS_URL is not set")
    assert "Traceback" not in told


def test_validating_a_manifest_loads_no_forecaster() -> None:
    probe = (
        "import sys; from kcloud_autoscale.cli.main import main; main(['validate', 'examples/01-minimal.yaml']);"
        "sys.exit(any(name in sys.modules for name in ('sklearn', 'statsmodels', 'scipy', 'kopf', 'kubernetes')))"
    )
    root = Path(cli.__path__[0]).parents[1]
    assert subprocess.run([sys.executable, "-c", probe], cwd=root, check=False).returncode == 0
