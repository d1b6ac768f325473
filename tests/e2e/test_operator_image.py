"""The image of the Dockerfile, run as the chart would have it run: nobody's uid, no capabilities, a read-only root."""

from __future__ import annotations

import base64
import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.chart.release import CHART, NAME, NAMESPACE
from hack.cluster import Cluster, Prometheus
from hack.image import Container, Image, ImageError, build
from hack.image.container import inside, send
from kcloud_autoscale.cli.main import VERBS
from kcloud_autoscale.cli.run import TERMINATED
from tests.e2e.world import Demand, Operator, World, eventually, exported, optimizer

pytestmark = pytest.mark.e2e

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# Every module, so that none needs a library that was left out.
IMPORT_ALL = (
    "import importlib, pkgutil, kcloud_autoscale as k\n"
    "for each in pkgutil.walk_packages(k.__path__, 'kcloud_autoscale.'):\n"
    "    each.name.endswith('__main__') or importlib.import_module(each.name)\n"
)


@pytest.fixture(scope="module")
def image() -> Image:
    return build()


@pytest.fixture(scope="module")
def root(image: Image) -> Iterator[Path]:
    with image.mounted() as path:
        yield path


class ContainedOperator(Operator):
    """The operator of an image, with the environment and the rights that the chart gives its pod."""

    def __init__(self, container: Container, command: list[str], log: Path) -> None:
        super().__init__(log, log, "")
        self._container, self._command = container, command

    def start(self) -> None:
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        self.process = self._container.start(self._command, self.log)


def of_the_chart(cluster: Cluster, prometheus_url: str) -> dict[str, str]:
    """The environment that the chart sets; what a kubelet would fill in is filled in, and ports are free ones."""
    words = ("template", NAME, str(CHART), "-n", NAMESPACE, f"--set=prometheus.url={prometheus_url}")
    manifests = yaml.safe_load_all(cluster.helm(*words, "--show-only", "templates/deployment.yaml"))
    (pod,) = [each["spec"]["template"]["spec"] for each in manifests]
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    told = {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}
    of_the_pod = {"POD_NAME": f"{NAME}-0", "POD_NAMESPACE": NAMESPACE}
    return {
        **told,
        **of_the_pod,
        "BIND_ADDRESS": "127.0.0.1",
        "METRICS_PORT": "0",
        "PROBE_PORT": "0",
        "LOG_FORMAT": "text",
    }


def service_account(cluster: Cluster, kubeconfig: Path, folder: Path) -> dict[str, str]:
    """What a kubelet mounts, written into the folder, and what it tells of the API server."""
    config = yaml.safe_load(kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]
    (folder / "token").write_text(config["users"][0]["user"]["token"])
    (folder / "ca.crt").write_bytes(_certificate(server, kubeconfig.parent))
    (folder / "namespace").write_text(NAMESPACE)
    host, port = server["server"].removeprefix("https://").rsplit(":", 1)
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def _certificate(server: dict[str, str], folder: Path) -> bytes:
    if "certificate-authority-data" in server:
        return base64.b64decode(server["certificate-authority-data"])
    return (folder / server["certificate-authority"]).read_bytes()


def test_it_leads_decides_and_scales_as_a_nameless_user_without_rights(
    cluster: Cluster, namespace: str, operator_kubeconfig: Path, image: Image, root: Path, tmp_path: Path
) -> None:
    mounted = tmp_path / "serviceaccount"
    mounted.mkdir()
    api_server = service_account(cluster, operator_kubeconfig, mounted)
    with exported(Demand({"llm": 30.0})) as demand, Prometheus() as prometheus:
        prometheus.start(demand.scrape_config())
        quick = {"CYCLE_SECONDS": "2", "STEP_SECONDS": "2", "SETTLE_SECONDS": "1", "MAX_METRIC_AGE_SECONDS": "8"}
        told = {**of_the_chart(cluster, prometheus.url), **api_server, **quick, "WATCH_NAMESPACE": namespace}
        container = Container(image, root, told, {SERVICE_ACCOUNT: mounted})
        operator = ContainedOperator(container, image.command, tmp_path / "operator.log")
        world = World(cluster, namespace, demand, operator)
        world.deploy("llm")
        world.apply(optimizer(namespace, "llm"))
        operator.start()
        try:
            operator.wait_ready()
            # ceil(30 / (0.7 * 10)), in one step; a Lease that a killed operator left behind holds it up for 15 s.
            eventually(lambda: world.replicas("llm") == 5, 60, lambda: world.explain("llm"))
            assert operator.process is not None
            status = inside(operator.process)
            assert status["Uid"].split() == ["65532"] * 4
            assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
            assert (status["NoNewPrivs"], status["NSpid"].split()[-1]) == ("1", "1")
            holder = cluster.kubectl.get("lease", NAME, "-n", NAMESPACE)["spec"]["holderIdentity"]
            assert holder == f"{NAME}-0"
            assert "Traceback" not in operator.said()
            send(operator.process, signal.SIGTERM)
            assert operator.process.wait(10) == 0
            assert not cluster.kubectl.get("lease", NAME, "-n", NAMESPACE)["spec"].get("holderIdentity")
        finally:
            operator.close()


def test_a_signal_while_it_loads_ends_process_one_at_once(image: Image, root: Path, tmp_path: Path) -> None:
    """The kernel drops a signal that process 1 has no handler for: the kubelet would wait half a minute."""
    process = Container(image, root, {}).start(image.command, tmp_path / "log")
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < 10.0:
        with contextlib.suppress(ImageError, OSError):  # it has ended meanwhile
            send(process, signal.SIGTERM)  # again: before Python itself is up there is no handler yet
        time.sleep(0.05)
    assert process.wait(1) == TERMINATED


def test_nothing_can_be_written_and_every_verb_that_is_promised_works(image: Image, root: Path) -> None:
    examples = Path(__file__).resolve().parents[2] / "examples"
    container = Container(image, root, {}, {"/srv": examples})
    assert container.run("sh", "-c", "id -un; touch /app/x /tmp/x /nonexistent").returncode != 0
    assert container.run("getent", "passwd", "65532").returncode == 2
    assert _printed(container.run("python", "-c", IMPORT_ALL)) == ""
    assert "scikit-learn, an extra" in container.run("kcloud-autoscale", "train", "--out", "/tmp/x").stderr
    assert container.run("kcloud-autoscale", "validate", "/srv/01-minimal.yaml").returncode == 0
    told = _printed(container.run("kcloud-autoscale", "crds"))
    assert [each["kind"] for each in yaml.safe_load_all(told)] == ["CustomResourceDefinition"] * 3
    assert all(f" {verb}" in _printed(container.run("kcloud-autoscale", "--help")) for verb in VERBS)


def test_what_only_builds_tests_or_installs_is_left_out(image: Image, root: Path) -> None:
    libraries = root / "app/lib/python3.11/site-packages"
    names = {path.name.lower() for path in libraries.iterdir()}
    assert not {"pip", "setuptools", "matplotlib", "skops", "sklearn", "pytest", "hatchling"} & names
    assert not [path for path in libraries.rglob("tests") if path.is_dir()]
    assert image.own_megabytes(root) < 500.0


def _printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout
