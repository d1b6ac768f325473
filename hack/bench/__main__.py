"""``python -m hack.bench [speed|forecast|decisions|writes]``; speed when none is named."""

from __future__ import annotations

import argparse
import os
import sys

from hack.bench import decisions, forecasts, speed, writes
from hack.bench.child import ONE_THREAD


def main() -> int:
    """Run one bench; with --strict its exit code says whether its bars are met."""
    os.environ.update(ONE_THREAD)
    parser = argparse.ArgumentParser(prog="python -m hack.bench", description=__doc__)
    subparsers = parser.add_subparsers(required=True)
    for bench in (speed, forecasts, decisions, writes):
        bench.add_parser(subparsers).add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    words = sys.argv[1:]
    named = bool(words) and (not words[0].startswith("-") or words[0] in ("-h", "--help"))
    args = parser.parse_args(words if named else ["speed", *words])
    missed: int = args.run(args)
    return missed if args.strict else 0


if __name__ == "__main__":
    sys.exit(main())
