"""The one error of the local cluster."""

from __future__ import annotations


class ClusterError(Exception):
    """Something of the local cluster cannot be had or done.

    The message is for the person at the keyboard: what is missing, where its log is, what to do about it.
    """
