"""Random changes to a manifest: most break it, some do not; which, is for two judges to agree on."""

from __future__ import annotations

import copy
import random
from typing import Any

Place = tuple[dict[str, Any] | list[Any], Any]

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 1.0, 4.0, 1e-9, 99.99, 100, 101, 3600, 1e9, 1_000_000_007, 10**15),
    *("", " ", "x", "0", "500m", "64Gi", "-1", "1e3", "10%", "101%", "a b", "latency", "Auto", "14", "22-6", "x\n"),
    *("{{name}}", "{{other}}", "é" * 70, "A" * 64, "example.com/name", "apps/v1", "Exists", "NoExecute"),
    *([], {}, [1], ["x"], {"x": "y"}, {"type": "cost", "threshold": 50}, [{"type": "power", "threshold": 10}]),
)


def _places(node: Any) -> list[Place]:
    """Every (container, key) below a node."""
    keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    return [(node, key) for key in keys] + [place for key in keys for place in _places(node[key])]


def mutated(manifest: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A copy with one to three random changes somewhere in its spec."""
    result = copy.deepcopy(manifest)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(result["spec"])
        if not places:
            break
        container, key = rng.choice(places)
        _change(container, key, rng)
    result["spec"] = _as_kubectl_sends(result["spec"])
    return result


def _as_kubectl_sends(node: Any) -> Any:
    """Whole numbers without a point: in raw JSON, 4.0 is an integer to the schema but a float to CEL."""
    if isinstance(node, dict):
        return {key: _as_kubectl_sends(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_as_kubectl_sends(child) for child in node]
    return int(node) if isinstance(node, float) and node.is_integer() and abs(node) < 2**53 else node


def _change(container: Any, key: Any, rng: random.Random) -> None:
    match rng.randrange(6):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[f"{key}s"] = container[key]  # a field nobody knows, mostly
        case 2 if isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        case 3 if isinstance(container[key], int | float) and not isinstance(container[key], bool):
            container[key] *= rng.choice((-1, 0, 2, 10, 100, 0.1))
        case _:
            container[key] = copy.deepcopy(rng.choice(ODD))
