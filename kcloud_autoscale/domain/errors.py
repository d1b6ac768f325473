"""The few errors that cross a room's border. An infeasible request is an outcome, never an error."""

from __future__ import annotations


class KcloudError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(KcloudError):
    """What was configured cannot work; trying again will not help."""


class ObservationError(KcloudError):
    """A source could not be read now; trying again may help."""


class ActionError(KcloudError):
    """A write to the cluster was refused or failed; the next cycle looks again."""
