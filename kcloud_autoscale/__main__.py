"""``python -m kcloud_autoscale`` is the ``kcloud-autoscale`` command."""

import sys

from kcloud_autoscale.cli.main import main

sys.exit(main())
