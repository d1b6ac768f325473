from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kcloud_autoscale import cli
from kcloud_autoscale.cli.main import VERBS, main
from kcloud_autoscale.cli.run import TERMINATED


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


PROBE = """
import sys
from kcloud_autoscale.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
heavy = {"numpy", "pandas", "scipy", "sklearn", "statsmodels", "kopf", "kubernetes", "aiohttp", "pydantic"}
print(*heavy & sys.modules.keys(), file=open(3, "w"))
"""


def libraries_loaded_by(*words: str) -> set[str]:
    """The heavy libraries in memory when the command has done what it is told."""
    root = Path(cli.__path__[0]).parents[1]
    command = [sys.executable, "-c", PROBE, *words]
    redirected = ["sh", "-c", 'exec "$@" 3>&1 >/dev/null 2>&1', "sh", *command]
    return set(subprocess.run(redirected, cwd=root, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["fly"], ["fly", "run"], ["run", "--help"], ["--help", "train"], []]
)
def test_what_does_nothing_loads_nothing(words: list[str]) -> None:
    assert libraries_loaded_by(*words) == set()


def test_validating_a_manifest_loads_no_forecaster() -> None:
    assert libraries_loaded_by("validate", "examples/01-minimal.yaml") <= {"numpy", "pydantic"}


def test_the_list_of_verbs_is_whole_whatever_else_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for words in (["--help"], ["--help", "run"]):
        with pytest.raises(SystemExit):
            main(words)
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


def test_a_signal_while_the_libraries_load_ends_the_process_at_once() -> None:
    """As process 1 of a container it has no default action for SIGTERM; here a library that never comes to an end."""
    probe = (
        "import sys, time, types; from kcloud_autoscale.cli import run; import signal;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "slow = types.ModuleType('kcloud_autoscale.operator.main');"
        "slow.__getattr__ = lambda name: (print('loading', flush=True), time.sleep(60));"
        "sys.modules[slow.__name__] = slow; run.run(None)"
    )
    with subprocess.Popen([sys.executable, "-c", probe], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.terminate()
        assert process.wait(10) == TERMINATED
