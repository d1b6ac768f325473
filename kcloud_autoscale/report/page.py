"""One self-contained HTML file: the frame, style and script that all reports share, a report's own, and its data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

# Significant digits of what is drawn: a pixel is a thousandth of the height.
_DIGITS = 5


def write_page(path: Path, name: str, data: Mapping[str, Any]) -> None:
    """Write a report with its own body, style and script (``NAME.html`` and so on); it needs no network."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    parts = {
        "@TITLE@": f"{name.capitalize()} report",
        "@STYLE@": _part("page.css") + _part(f"{name}.css"),
        "@BODY@": _part(f"{name}.html"),
        "@SCRIPT@": _part("page.js") + _part(f"{name}.js"),
        # A script element ends at the first "</", wherever it stands. Last, for names of series are anybody's.
        "@DATA@": text.replace("</", "<\\/"),
    }
    page = _part("page.html")
    for place, part in parts.items():
        page = page.replace(place, part)
    path.write_text(page, encoding="utf-8")


def _part(name: str) -> str:
    return resources.files("kcloud_autoscale.report").joinpath(name).read_text(encoding="utf-8")


def drawable(values: Iterable[float] | np.ndarray) -> list[float | None]:
    """Numbers as precise as a picture needs; None where there is none, or it is infinite."""
    rounded = [float(f"{value:.{_DIGITS}g}") for value in values]
    return [value if math.isfinite(value) else None for value in rounded]
