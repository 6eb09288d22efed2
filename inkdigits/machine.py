"""This machine: its cores, and the Ray cluster it may join."""

import os
import socket
from typing import Any

from inkdigits.errors import naming_missing_extra


def knock(address: str) -> None:
    """Raise OSError unless somebody listens at HOST:PORT: Ray would ask again for minutes."""
    host, _, port = address.removeprefix("ray://").partition(":")
    if port:
        socket.create_connection((host, int(port)), timeout=10).close()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_ray() -> Any:
    """Return the package `ray`.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with naming_missing_extra():
        import ray
    return ray
