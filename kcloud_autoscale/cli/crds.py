"""`kcloud-autoscale crds`: the CustomResourceDefinitions, for `kubectl apply -f -` or into a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from kcloud_autoscale.api.crd import render_all
from kcloud_autoscale.cli.options import writing


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "crds",
        description="Print the CustomResourceDefinitions as YAML, ready for `kubectl apply --server-side -f -`, or "
        "write one file per kind into a folder.",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write one file per kind here instead of printing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write the CRDs; 0."""
    files = render_all()
    if args.out is None:
        sys.stdout.write("---\n".join(files.values()))
        return 0
    with writing():
        args.out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (args.out / name).write_text(text, encoding="utf-8")
            print(args.out / name)
    return 0
