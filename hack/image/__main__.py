"""`python -m hack.image`: build the operator's image into the cache and say how large it is."""

from __future__ import annotations

import argparse
import sys
import time

from hack.image.build import REFERENCE, build
from hack.image.tools import ImageError


def main() -> int:
    """0 when it is built; its name, size and largest folders go to standard output."""
    parser = argparse.ArgumentParser(prog="python -m hack.image", description=__doc__)
    parser.add_argument("--tag", default=REFERENCE, metavar="NAME:TAG", help=f"default: {REFERENCE}")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        image = build(options.tag)
        with image.mounted() as root:
            megabytes = image.own_megabytes(root)
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{image.reference}: {megabytes:.0f} MB on top of its base, in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
