"""What the API server knows, kept current by watches: nothing is listed per cycle.

The asynchronous client that ships with kubernetes 37 carries them: a watch is a task, not a thread, so six kinds in a
hundred namespaces cost no stack each, and readers of the copies share the loop with the writers: no lock.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from kubernetes.aio.client import ApiClient

from kcloud_autoscale.domain.observation import ClaimedDevice, NodeObservation
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.observe import objects
from kcloud_autoscale.observe.claims import Slice, claim, claimed_devices, resource_slice
from kcloud_autoscale.observe.informer import Informer
from kcloud_autoscale.observe.objects import Autoscaler, Pod, Scalable, Slimmer
from kcloud_autoscale.observe.reader import Json, Reader, ignore
from kcloud_autoscale.observe.selectors import LabelSelector

T = TypeVar("T")

# Bookmarks come about once a minute.
SILENT_SECONDS = 180.0
_POLL_SECONDS = 0.05


class Informers:
    """Copies of pods, nodes, scalable objects and autoscalers.

    Args:
        client: Shared, with its credentials; it stays the caller's. Or a reader that answers instead of a server.
        namespaces: Where to watch; everywhere when empty. Nodes are watched in any case.
        answered: Told of each answer: ``get`` or ``watch``, and the HTTP status; None for no answer.
    """

    def __init__(
        self,
        client: ApiClient | Reader,
        namespaces: tuple[str, ...] = (),
        answered: Callable[[str, int | None], None] = ignore,
    ) -> None:
        self.reader = client if isinstance(client, Reader) else Reader(client, answered)
        scopes = namespaces or ("",)
        slimmer = Slimmer()
        self._pods = self._each(scopes, "/api/v1", "pods", slimmer.pod)
        self._scalables = {
            kind: self._each(scopes, "/apis/apps/v1", plural, objects.scalable(kind))
            for kind, plural in (("Deployment", "deployments"), ("StatefulSet", "statefulsets"))
        }
        self._hpas = self._each(scopes, "/apis/autoscaling/v2", "horizontalpodautoscalers", objects.hpa)
        self._keda = self._each(scopes, "/apis/keda.sh/v1alpha1", "scaledobjects", objects.scaled_object, True)
        self._nodes: Informer[NodeObservation] = Informer(self.reader, "/api/v1/nodes", objects.node)
        dra = "/apis/resource.k8s.io/v1"
        self._claims = self._each(scopes, dra, "resourceclaims", claim, True)
        self._slices: Informer[Slice] = Informer(self.reader, f"{dra}/resourceslices", resource_slice, True)
        self._tasks: list[asyncio.Task[None]] = []

    def hold(self, documents: Sequence[Json]) -> None:
        """Keep these objects instead of watching; kinds that are not watched are passed over."""
        for informer in self._all():
            informer.hold([each for each in documents if _is_of(each, informer.path)])

    def start(self) -> None:
        """Begin to watch; needs a running event loop."""
        self._tasks = [asyncio.create_task(each.run(), name=f"watch {each.path}") for each in self._all()]

    async def wait_synced(self, timeout_seconds: float) -> bool:
        """Wait until everything but the nodes has been listed once; False when it takes longer."""
        waits = [each.listed.wait() for each in self._required()]
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.gather(*waits)
        except TimeoutError:
            return False
        return True

    async def wait_answered(self, timeout_seconds: float) -> bool:
        """Wait until each kind, nodes included, has been listed or refused; False when it takes longer."""
        for _ in range(math.ceil(timeout_seconds / _POLL_SECONDS)):
            if all(each.listed.is_set() or each.problem for each in self._all()):
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def stop(self) -> None:
        """End all watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def idle_seconds(self) -> float:
        """Time since the quietest of the needed watches heard anything."""
        return max(each.idle_seconds for each in self._required())

    def problems(self) -> tuple[str, ...]:
        """Watches that do not work, in words."""
        ended = [f"{task.get_name()} has ended" for task in self._tasks if task.done()]
        return (*ended, *filter(None, (self._problem_of(each) for each in self._all())))

    def nodes(self) -> Mapping[str, NodeObservation]:
        """By name."""
        return {name: each for (_, name), each in self._nodes.objects.items()}

    def scalable(self, namespace: str, kind: str, name: str) -> Scalable | None:
        """A Deployment or StatefulSet as last seen; None when there is none."""
        informer = _of(self._scalables[kind], namespace)
        return informer.objects.get((namespace, name)) if informer else None

    def scalables(self) -> Iterator[tuple[str, Scalable]]:
        """All Deployments and StatefulSets with their namespace."""
        for informers in self._scalables.values():
            for informer in informers.values():
                for (namespace, _), each in informer.objects.items():
                    yield namespace, each

    def unknown(self, namespace: str, kind: str) -> str:
        """Why nothing can be said of a kind in a namespace; empty when it has been listed."""
        informer = _of(self._scalables[kind], namespace)
        if informer is None:
            return f"namespace {namespace} is not watched (WATCH_NAMESPACE)"
        if not informer.listed.is_set():
            return f"{kind}s have not been listed yet: {informer.problem or 'no answer so far'}"
        return ""

    def pods(self) -> Iterator[tuple[str, Pod]]:
        """All pods with their namespace."""
        for informer in self._pods.values():
            for (namespace, _), pod in informer.objects.items():
                yield namespace, pod

    def matching(self, wanted: Mapping[Any, tuple[str, LabelSelector]]) -> dict[Any, list[Pod]]:
        """Pods of many selectors in one pass over all pods.

        Args:
            wanted: Namespace and selector by any key.

        Returns:
            Pods by the same keys, in order of name.
        """
        anchored: dict[tuple[str, tuple[str, str]], list[tuple[Any, LabelSelector]]] = {}
        loose: dict[str, list[tuple[Any, LabelSelector]]] = {}
        for key, (namespace, selector) in wanted.items():
            anchor = selector.anchor()
            place = anchored.setdefault((namespace, anchor), []) if anchor else loose.setdefault(namespace, [])
            place.append((key, selector))
        found: dict[Any, list[Pod]] = {key: [] for key in wanted}
        for namespace, pod in self.pods():
            candidates = [each for label in pod.labels.items() for each in anchored.get((namespace, label), ())]
            for key, selector in (*candidates, *loose.get(namespace, ())):
                if selector.matches(pod.labels):
                    found[key].append(pod)
        for pods in found.values():
            pods.sort(key=lambda pod: pod.seen.name)
        return found

    def claimed(self, namespace: str, names: Sequence[str]) -> tuple[ClaimedDevice, ...] | Missing:
        """Devices behind a pod's ResourceClaims; Missing where what they are is not known."""
        if not names:
            return ()
        informer = _of(self._claims, namespace)
        of_namespace = informer.objects if informer is not None else {}
        claims = {name: of_namespace[namespace, name] for name in names if (namespace, name) in of_namespace}
        return claimed_devices(names, claims, self._slices.objects.values())

    def autoscalers(self) -> dict[tuple[str, str, str, str], Autoscaler]:
        """Other autoscalers by (namespace, group, kind, name) of their target; KEDA's own before its HPA."""
        found: dict[tuple[str, str, str, str], Autoscaler] = {}
        for informers in (self._hpas, self._keda):
            for informer in informers.values():
                for (namespace, _), each in informer.objects.items():
                    found[namespace, each.group, each.target_kind, each.target_name] = each
        return found

    def _each(
        self, scopes: tuple[str, ...], root: str, plural: str, slim: Callable[[Json], T], optional: bool = False
    ) -> dict[str, Informer[T]]:
        return {
            scope: Informer(
                self.reader, f"{root}/namespaces/{scope}/{plural}" if scope else f"{root}/{plural}", slim, optional
            )
            for scope in scopes
        }

    def _required(self) -> list[Informer[Any]]:
        groups: list[Mapping[str, Informer[Any]]] = [self._pods, *self._scalables.values(), self._hpas, self._keda]
        return [informer for group in groups for informer in group.values()]

    def _all(self) -> list[Informer[Any]]:
        return [*self._required(), self._nodes, *self._claims.values(), self._slices]

    @staticmethod
    def _problem_of(informer: Informer[Any]) -> str:
        if informer.problem:
            return informer.problem
        if not informer.listed.is_set():
            return f"{informer.path} has not been listed yet"
        if informer.idle_seconds > SILENT_SECONDS:
            return f"{informer.path}: nothing heard for {informer.idle_seconds:.0f} s"
        return ""


def _of(informers: Mapping[str, Informer[T]], namespace: str) -> Informer[T] | None:
    return informers.get(namespace) or informers.get("")


def _is_of(document: Json, path: str) -> bool:
    """Whether an object belongs to a list: ``Pod`` of ``v1`` to ``/api/v1/pods``; one of older versions does, too."""
    version, kind = str(document.get("apiVersion", "")), str(document.get("kind", ""))
    group = version.partition("/")[0] if "/" in version else ""
    of_group = path.startswith(f"/apis/{group}/") if group else path.startswith("/api/v1/")
    return of_group and path.rpartition("/")[2] == f"{kind.lower()}s"
