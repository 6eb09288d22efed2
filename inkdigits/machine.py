"""This machine: its cores, and the Ray cluster it may join."""

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inkdigits.errors import InkdigitsError, naming_missing_extra, reason

# A very busy machine exceeds the deadline of 30 s that Ray sets its own start.
START_ATTEMPTS = 3


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bfloat16() -> bool:
    """Return whether the processor computes with bfloat16; False where Linux's /proc/cpuinfo does not say so."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None  # the last one on ARM


@contextmanager
def connect_ray(address: str, n_cpus: int | None = None, environment: Mapping[str, str] | None = None) -> Iterator[Any]:
    """Yield the package `ray`, connected to a cluster until the block ends.

    A process that is connected already stays so, to the cluster it is connected to.

    Args:
        address: "auto" for the cluster this machine belongs to, HOST:PORT or ray://HOST:PORT; "local" starts one here.
        n_cpus: cores of a cluster that is started here; None for all.
        environment: variables that the cluster's workers get.

    Raises:
        InkdigitsError: Ray is missing, or no cluster answers at the address.
    """
    ray = _load_ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        _join(ray, address, n_cpus, {"env_vars": dict(environment)} if environment else None)
    except UnicodeEncodeError:  # Ray notes the program's arguments
        raise InkdigitsError(
            "Ray takes no arguments that are not UTF-8: name such files in a --list FILE, or rename them"
        ) from None
    except Exception as error:  # a cluster too slow to start raises no type of its own
        raise InkdigitsError(f"no Ray cluster answers at {address} ({reason(error)})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _load_ray() -> Any:
    # Read by Ray when it is imported: no usage statistics, no lines of its C++ part, no warning about hidden GPUs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with naming_missing_extra():
        import ray
    return ray


def _join(ray: Any, address: str, n_cpus: int | None, runtime_env: dict[str, Any] | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address != "local":
        _check_listening(address)
        ray.init(address=address, runtime_env=runtime_env, **quiet)
        return
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(address="local", num_cpus=n_cpus, include_dashboard=False, runtime_env=runtime_env, **quiet)
            return
        except Exception:
            ray.shutdown()
            if attempt == START_ATTEMPTS - 1:
                raise


def _check_listening(address: str) -> None:
    """Raise OSError unless something listens at HOST:PORT: Ray would try again for minutes."""
    host, _, port = address.removeprefix("ray://").partition(":")
    if port:
        socket.create_connection((host, int(port)), timeout=10).close()
