"""Bundles on disk: what was written is read, and nothing else is."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcloud_autoscale.forecast import artifacts
from kcloud_autoscale.forecast.artifacts import Bundle, BundleError, Provenance, load_bundle, save_bundle
from kcloud_autoscale.forecast.boosted import Boosted, Trees
from kcloud_autoscale.forecast.priors import Knowledge, default_prior
from kcloud_autoscale.forecast.settings import FleetSettings, grid_of

PROVENANCE = Provenance("test", "1", "made up", "0" * 64, "9 days", "2026-01-01", {"cold_pinball_ratio": 0.4})


def a_bundle() -> Bundle:
    cells = {(60.0, 5): default_prior(grid_of(FleetSettings(), 60.0, 5))}
    index, values = np.zeros((2, 3), dtype=np.int64), np.arange(6.0).reshape(2, 3)
    trees = Trees(index, values, index, index, values, 0.5, 2)
    return Bundle(PROVENANCE, Knowledge(cells, Boosted(trees, trees)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bundle(tmp_path / "test" / "1", a_bundle(), "# test 1\n", "cell,ratio\n")
    return tmp_path / "test" / "1"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the arrays and sign the manifest anew, as one with bad intentions would."""
    with np.load(folder / artifacts.ARRAYS) as stored:
        arrays = {name: stored[name] for name in stored.files}
    change(arrays)
    raw = io.BytesIO()
    np.savez_compressed(raw, **arrays)
    sign(folder, raw.getvalue())


def sign(folder: Path, raw: bytes) -> None:
    (folder / artifacts.ARRAYS).write_bytes(raw)
    manifest = json.loads((folder / artifacts.MANIFEST).read_text())
    manifest |= {"arrays_sha256": hashlib.sha256(raw).hexdigest(), "arrays_bytes": len(raw)}
    (folder / artifacts.MANIFEST).write_text(json.dumps(manifest))


def test_a_bundle_comes_back_as_it_was(folder: Path) -> None:
    loaded, original = load_bundle(folder), a_bundle()
    assert loaded.provenance == original.provenance
    prior, before = loaded.knowledge.cells[60.0, 5], original.knowledge.cells[60.0, 5]
    for name in ("short", "full", "scatter", "offsets", "relative_losses"):
        assert np.array_equal(getattr(prior, name), getattr(before, name))
    assert loaded.knowledge.boosted is not None
    assert loaded.knowledge.boosted.upper.baseline == 0.5
    rows = np.ones((4, 33))
    assert original.knowledge.boosted is not None
    assert np.array_equal(
        loaded.knowledge.boosted.median.predict(rows), original.knowledge.boosted.median.predict(rows)
    )


def test_the_manifest_says_what_it_is_and_what_it_was_made_with(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["libraries"]["numpy"] == np.__version__
    assert manifest["quantiles"] == [0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995]
    assert manifest["scores"] == {"cold_pinball_ratio": 0.4}
    assert manifest["data_sha256"] == "0" * 64


def test_a_version_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(BundleError, match="holds a bundle already"):
        save_bundle(folder, a_bundle(), "", "")


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "arrays.npz"])
@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xfe\x00"])
def test_garbage_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(folder)


def test_a_flipped_bit_is_noticed(folder: Path) -> None:
    raw = bytearray((folder / "arrays.npz").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "arrays.npz").write_bytes(raw)
    with pytest.raises(BundleError, match="arrays_sha256"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("field", "value"), [("schema", 2), ("features", ["a"]), ("quantiles", [0.5]), ("experts", []), ("data", None)]
)
def test_a_bundle_of_another_release_is_refused_by_what_differs(folder: Path, field: str, value: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    if value is None:
        del manifest[field]
    else:
        manifest[field] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=field):
        load_bundle(folder)


def test_a_huge_file_is_not_even_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "LARGEST_BYTES", 100)
    with pytest.raises(BundleError, match="at most 100"):
        load_bundle(folder)


class Exploit:
    """What a pickle could run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("/tmp/kcloud-exploited"),))  # type: ignore[return-value]


def test_a_pickle_in_a_signed_bundle_is_refused_and_does_not_run(folder: Path, tmp_path: Path) -> None:
    marker = Path("/tmp/kcloud-exploited")
    marker.unlink(missing_ok=True)
    raw = io.BytesIO()
    np.savez(raw, cells=np.array([Exploit()], dtype=object))
    for content in (raw.getvalue(), pickle.dumps(Exploit())):
        sign(folder, content)
        with pytest.raises(BundleError):
            load_bundle(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("offsets"), "lacks offsets"),
        (lambda arrays: arrays.update(full=arrays["full"][:, :5]), r"full has shape \(1, 5\)"),
        (lambda arrays: arrays["short"].__setitem__((0, 0), np.nan), "short holds something"),
        (lambda arrays: arrays.update(upper_left=arrays["upper_left"] + 99), "upper_left points outside"),
        (lambda arrays: arrays.update(median_feature=arrays["median_feature"] - 1), "median_feature points outside"),
        (lambda arrays: arrays.update(median_depth=np.array(10_000)), "median_depth points outside"),
        (lambda arrays: arrays.update(cells=np.array([["a", "b"]])), "cells holds something"),
    ],
)
def test_signed_nonsense_is_refused_by_name(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    rewrite(folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)
