"""One run of a tool that was built with the cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from hack.cluster.build import tool
from hack.cluster.errors import ClusterError
from hack.cluster.processes import loopback_environment


def told_by(
    name: str,
    own: Sequence[str],
    words: Sequence[str],
    input: str | None,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What `name` prints when it is called with `own` and `words`; errors show the words alone.

    Raises:
        ClusterError: It failed or took longer than `timeout_seconds`; the message is its standard error.
    """
    shown = " ".join((name, *words))
    try:
        answer = subprocess.run(
            [str(tool(name)), *own, *words],
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env={**loopback_environment(), **(environment or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{shown}: no answer within {timeout_seconds:g} s") from error
    if answer.returncode:
        raise ClusterError(f"{shown}: {answer.stderr.strip()}")
    return answer.stdout
