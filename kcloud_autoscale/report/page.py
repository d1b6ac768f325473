"""One self-contained HTML file from a template, the style and script that all reports share, and data."""

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


def write_page(path: Path, template: str, data: Mapping[str, Any]) -> None:
    """Write the template of this name with its data; it opens from disk and asks nothing of the network."""
    page = _part(template).replace("@STYLE@", _part("page.css")).replace("@SCRIPT@", _part("page.js"))
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    # A script element ends at the first "</", wherever it stands.
    path.write_text(page.replace("@DATA@", text.replace("</", "<\\/")), encoding="utf-8")


def _part(name: str) -> str:
    return resources.files("kcloud_autoscale.report").joinpath(name).read_text(encoding="utf-8")


def drawable(values: Iterable[float] | np.ndarray) -> list[float | None]:
    """Numbers as precise as a picture needs; None where there is none, or it is infinite."""
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in values]
