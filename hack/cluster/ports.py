"""Ports on loopback that stay ours from before a part listens until after it was restarted."""

from __future__ import annotations

import random
import socket

from hack.cluster.errors import ClusterError

FIRST_PORT, LAST_PORT = 20_000, 31_999
"""Below Linux's range for outgoing connections (32768 and up), whose random picks would otherwise collide."""


class Ports:
    """Reserves ports among all clusters of this machine, until `release` or the end of the process.

    The reservation is an abstract Unix socket named after the port: the kernel lets one process have the name, and
    forgets it with that process, so nothing is left to clean up.
    """

    def __init__(self) -> None:
        self._reservations: list[socket.socket] = []

    def reserve(self) -> int:
        """One free port.

        Raises:
            ClusterError: every port of the range is taken.
        """
        candidates = list(range(FIRST_PORT, LAST_PORT + 1))
        random.SystemRandom().shuffle(candidates)
        for port in candidates:
            reservation = _try_reserve(port)
            if reservation is None:
                continue
            self._reservations.append(reservation)
            if _is_free(port):
                return port
        raise ClusterError(f"no free port on 127.0.0.1 between {FIRST_PORT} and {LAST_PORT}")

    def release(self) -> None:
        while self._reservations:
            self._reservations.pop().close()


def _try_reserve(port: int) -> socket.socket | None:
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0kcloud-autoscale/port/{port}")
    except OSError:
        reservation.close()
        return None
    return reservation


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the parts do: a connection of an earlier owner that lingers in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
