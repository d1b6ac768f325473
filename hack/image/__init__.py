"""The operator's image, built by its Dockerfile and run as a cluster would run it, on a machine without an engine.

`python -m hack.image` builds it and tells its size. buildah builds (Debian's package), on a base of Debian's own
packages that goes by the name of the Dockerfile's: what is tested is the Dockerfile, not a registry's answer. Layers
are kept in the cache: a changed source costs seconds, a changed lock file a minute, the base 45 s once.
"""

from hack.image.build import Image, build
from hack.image.container import Container
from hack.image.tools import ImageError

__all__ = ["Container", "Image", "ImageError", "build"]
