"""Model bundles on disk: written by `train`, checked before use, never pickle.

A bundle is a folder ``<name>/<version>/`` with ``manifest.json`` (what it is, what it was trained on, the hash of the
rest), ``arrays.npz`` (all numbers, plain arrays), ``scores.csv`` and ``card.md`` for people. A bundle that does not
fit is refused with the reason; forecasting then goes on with the priors by hand.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.forecast.boosted import EXTRA_NAMES, Boosted, Trees
from kcloud_autoscale.forecast.features import LOCAL_NAMES, NAMES
from kcloud_autoscale.forecast.priors import Knowledge, Prior
from kcloud_autoscale.forecast.settings import EXPERTS, LEVELS

SCHEMA = 1
LARGEST_BYTES = 32 * 2**20
DEFAULT = Path("models", "default", "2")
MANIFEST, ARRAYS, CARD, SCORES_FILE = "manifest.json", "arrays.npz", "card.md", "scores.csv"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "kcloud-autoscale")
_PRIOR_SHAPES: Mapping[str, tuple[int, ...]] = {
    "short": (len(LOCAL_NAMES),),
    "full": (len(NAMES),),
    "scatter": (len(NAMES), len(NAMES)),
    "offsets": (len(EXPERTS), len(LEVELS)),
    "relative_losses": (len(EXPERTS),),
}


class BundleError(ConfigError):
    """A bundle cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a bundle was made of.

    Attributes:
        name, version: As in its path.
        data: In words.
        data_sha256: Of the training data.
        window: Days of history per step length, in words.
        made: Date of training, ISO 8601.
        scores: Figures by name.
    """

    name: str
    version: str
    data: str
    data_sha256: str
    window: str
    made: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle that passed every check."""

    provenance: Provenance
    knowledge: Knowledge


def check_new(folder: Path) -> None:
    """A version is written once.

    Raises:
        BundleError: There is one already.
    """
    if (folder / MANIFEST).exists():
        raise BundleError(f"{folder} holds a bundle already; versions are never overwritten")


def save_bundle(folder: Path, bundle: Bundle, card: str, scores_csv: str) -> None:
    """Write a bundle; the folder is created.

    Raises:
        BundleError: There is one already, or it cannot be written.
    """
    check_new(folder)
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **_packed(bundle.knowledge))
    manifest = {
        "schema": SCHEMA,
        **{each.name: getattr(bundle.provenance, each.name) for each in fields(Provenance)},
        "libraries": {name: version(name) for name in LIBRARIES},
        "features": [*NAMES, *EXTRA_NAMES],
        "experts": list(EXPERTS),
        "quantiles": list(LEVELS),
        "target": "log peak of the lead window over log present",
        "arrays_sha256": hashlib.sha256(arrays.getvalue()).hexdigest(),
        "arrays_bytes": len(arrays.getvalue()),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ARRAYS).write_bytes(arrays.getvalue())
        (folder / CARD).write_text(card)
        (folder / SCORES_FILE).write_text(scores_csv)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    except OSError as error:
        raise BundleError(f"{folder}: {error}") from error


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle and check that it is whole, untouched and made for these features.

    Raises:
        BundleError: It is not; the message names the file and what is wrong.
    """
    try:
        manifest = json.loads(_read(folder / MANIFEST))
        raw = _read(folder / ARRAYS)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{folder}: cannot be read: {error}") from error
    _check_manifest(folder, manifest, raw)
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{folder / ARRAYS}: {error}") from error
    provenance = Provenance(**{each.name: manifest[each.name] for each in fields(Provenance)})
    return Bundle(provenance, _unpacked(folder / ARRAYS, arrays))


def default_bundle_folder() -> Path:
    """Where the bundle of this release lies: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / DEFAULT
    return inside if inside.exists() else package.parent / DEFAULT


def default_knowledge() -> tuple[Knowledge | None, str]:
    """The default bundle's knowledge, or None and why there is none; forecasting works without."""
    try:
        return load_bundle(default_bundle_folder()).knowledge, ""
    except BundleError as error:
        return None, str(error)


def _read(path: Path) -> bytes:
    """The bytes of a file that is not too large to be a part of a bundle."""
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise BundleError(f"{path}: {size} bytes where at most {LARGEST_BYTES} are expected")
    return path.read_bytes()


def _check_manifest(folder: Path, manifest: Any, raw: bytes) -> None:
    """Everything that can be known without looking into the arrays."""
    if not isinstance(manifest, dict):
        raise BundleError(f"{folder / MANIFEST}: not an object")
    expected = {
        "schema": SCHEMA,
        "features": [*NAMES, *EXTRA_NAMES],
        "experts": list(EXPERTS),
        "quantiles": list(LEVELS),
        "arrays_bytes": len(raw),
        "arrays_sha256": hashlib.sha256(raw).hexdigest(),
    }
    for name, value in expected.items():
        if manifest.get(name) != value:
            raise BundleError(f"{folder / MANIFEST}: {name} is {manifest.get(name)!r} where this release has {value!r}")
    missing = [each.name for each in fields(Provenance) if each.name not in manifest]
    if missing:
        raise BundleError(f"{folder / MANIFEST}: lacks {', '.join(missing)}")


def _packed(knowledge: Knowledge) -> dict[str, Any]:
    """All numbers by name: ``cells`` and one stack per part of a prior, then the trees."""
    cells = sorted(knowledge.cells)
    arrays: dict[str, Any] = {"cells": np.array(cells, dtype=np.float64)}
    for name in _PRIOR_SHAPES:
        arrays[name] = np.stack([getattr(knowledge.cells[cell], name) for cell in cells])
    if knowledge.boosted is not None:
        for which in ("median", "upper"):
            trees: Trees = getattr(knowledge.boosted, which)
            for each in fields(Trees):
                arrays[f"{which}_{each.name}"] = np.asarray(getattr(trees, each.name))
    return arrays


def _unpacked(path: Path, arrays: Mapping[str, Any]) -> Knowledge:
    """The inverse of `_packed`, checking every shape and number."""
    cells = _array(path, arrays, "cells", (None, 2))
    parts = {name: _array(path, arrays, name, (len(cells), *shape)) for name, shape in _PRIOR_SHAPES.items()}
    priors = {
        (float(step), int(horizon)): Prior(**{name: parts[name][index] for name in _PRIOR_SHAPES})
        for index, (step, horizon) in enumerate(cells)
    }
    if not priors:
        raise BundleError(f"{path}: no cells")
    boosted = None
    if "median_feature" in arrays:
        boosted = Boosted(_trees(path, arrays, "median"), _trees(path, arrays, "upper"))
    return Knowledge(priors, boosted)


def _trees(path: Path, arrays: Mapping[str, Any], which: str) -> Trees:
    """One ensemble; every index must point into its own tree or row."""
    feature = _array(path, arrays, f"{which}_feature", (None, None)).astype(np.int64)
    shape = feature.shape
    left = _array(path, arrays, f"{which}_left", shape).astype(np.int64)
    right = _array(path, arrays, f"{which}_right", shape).astype(np.int64)
    depth = int(_array(path, arrays, f"{which}_depth", ()))
    for name, values, end in (
        ("feature", feature, len(NAMES) + len(EXTRA_NAMES)),
        ("left", left, shape[1]),
        ("right", right, shape[1]),
        ("depth", np.array([depth]), 64),
    ):
        if values.size and not (values.min() >= 0 and values.max() < end):
            raise BundleError(f"{path}: {which}_{name} points outside")
    return Trees(
        feature=feature,
        threshold=_array(path, arrays, f"{which}_threshold", shape),
        left=left,
        right=right,
        value=_array(path, arrays, f"{which}_value", shape),
        baseline=float(_array(path, arrays, f"{which}_baseline", ())),
        depth=depth,
    )


def _array(path: Path, arrays: Mapping[str, Any], name: str, shape: tuple[int | None, ...]) -> Any:
    """An array of finite numbers of the shape wanted; None fits any length."""
    if name not in arrays:
        raise BundleError(f"{path}: lacks {name}")
    found = arrays[name]
    fits = len(found.shape) == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, found.shape, strict=True)
    )
    if not fits:
        raise BundleError(f"{path}: {name} has shape {found.shape} where {shape} is expected")
    if not np.issubdtype(found.dtype, np.number) or not np.isfinite(found).all():
        raise BundleError(f"{path}: {name} holds something that is not a finite number")
    return found
