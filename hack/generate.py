"""Everything that is rendered from code: ``python -m hack.generate`` writes it, ``--check`` only compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hack.chart.dashboards import render_dashboards
from hack.chart.values_schema import render_values_schema
from kcloud_autoscale.api import crd
from kcloud_autoscale.operator import metrics, settings

ROOT = Path(__file__).resolve().parents[1]
CHART = Path("charts/kcloud-operator")


def rendered() -> dict[Path, str]:
    """Content by path relative to the repository."""
    crds = crd.render_all()
    files = {folder / name: text for folder in (Path("crds"), CHART / "files" / "crds") for name, text in crds.items()}
    files |= {CHART / "dashboards" / name: text for name, text in render_dashboards().items()}
    files[CHART / "values.schema.json"] = render_values_schema()
    files[Path("docs/metrics.md")] = metrics.render_markdown()
    files[Path("docs/configuration.md")] = settings.render_markdown()
    return files


def main() -> int:
    """0 when everything is in step afterwards, 1 when ``--check`` found a file that is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say which files are out of step")
    check = parser.parse_args().check
    files = rendered()
    stale = [path for path, text in files.items() if not _holds(ROOT / path, text)]
    for path in stale:
        if not check:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(files[path])
        print(f"{'out of step' if check else 'rendered'}: {path}")
    if check and stale:
        print("run: make generate", file=sys.stderr)
        return 1
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
