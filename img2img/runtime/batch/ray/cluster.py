"""Finds or starts a Ray cluster and keeps Ray quiet on stdout and stderr."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from img2img.errors import DeviceError, UsageError
from img2img.runtime.network import devices

STORE = 100_000_000  # bytes, the object store of a local cluster; it holds only file names and numbers

KNOCK = 5.0  # seconds to wait for a connection to the cluster

# Ray prints log messages on stdout and stderr. They stay visible if the user sets the first of these variables.
_LOUD = "RAY_BACKEND_LOG_LEVEL"
_QUIET = {
    _LOUD: "fatal",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def connected() -> Iterator[bool]:
    """Provide a cluster for the block. Yields whether the cluster was started here; then it ends with the block.

    Uses the cluster that the process is connected to, else the one that RAY_ADDRESS names, else a local one.

    Raises:
        UsageError: Ray is not installed.
        DeviceError: there is no cluster.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    is_own = address in ("", "local")
    with quiet():
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise UsageError("--engine ray needs Ray: pip install 'img2img[ray]'") from error
        if ray.is_initialized():  # by a program that uses img2img as a library
            is_connected = True
        else:
            is_connected = False
            _refuse_unreachable(address)
            local = {"num_cpus": devices.cores(), "include_dashboard": False, "object_store_memory": STORE}
            on_term = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(
                    "local" if is_own else address,
                    log_to_driver=False,
                    logging_level="ERROR",
                    **(local if is_own else {}),
                )
            except BaseException as error:
                end()
                if isinstance(error, SystemExit):  # Ray raises it for SIGTERM during startup
                    raise KeyboardInterrupt from None
                if not isinstance(error, Exception):
                    raise
                what = "a local Ray cluster does not start" if is_own else f"no Ray cluster at RAY_ADDRESS={address}"
                raise DeviceError(f"{what}: {short(error)} ({_LOUD}=info shows more)") from error
            finally:
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, on_term)  # Ray's handler would end the process silently
    log = logging.getLogger("ray.data")
    level = log.level
    log.setLevel(logging.CRITICAL)  # log records of dead workers would keep references to them, see `driver.run`
    try:
        yield is_own and not is_connected
    finally:
        log.setLevel(level)
        if is_connected:
            gc.collect()
        else:
            end()


def _refuse_unreachable(address: str) -> None:
    """Raises DeviceError if the cluster is unreachable. Ray would retry for minutes and then end the process."""
    match = re.fullmatch(r"(?:ray://)?\[?([^/\]]+?)\]?:([0-9]+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=KNOCK).close()
    except OSError as error:
        raise DeviceError(f"no Ray cluster at RAY_ADDRESS={address}: {error.strerror or error}") from error


def end() -> None:
    """Shut down the local cluster, or disconnect from an existing one. A second call does nothing."""
    import ray

    ray.shutdown()


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what Ray's libraries print on stderr during startup. Nothing else prints in this block."""
    if _LOUD in os.environ:
        yield
        return
    own = {name: value for name, value in _QUIET.items() if name not in os.environ}
    os.environ.update(own)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        for name in own:
            os.environ.pop(name, None)


def short(error: BaseException) -> str:
    """Shorten an error of Ray to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("No module named 'img2img" in line for line in lines):
        return "img2img is not installed on all of its nodes"
    return lines[-1][:300] if lines else type(error).__name__
