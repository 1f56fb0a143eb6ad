"""A Ray cluster to work on, found or started, without a word on stdout and stderr."""

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

STORE = 100_000_000  # bytes, for objects of a cluster that is started here: only file names and figures travel

KNOCK = 5.0  # seconds for a cluster's first answer

# Ray prints on stdout and stderr what belongs into its own log files. Who sets the first of these wants to see it.
_LOUD = "RAY_BACKEND_LOG_LEVEL"
_QUIET = {
    _LOUD: "fatal",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def connected() -> Iterator[bool]:
    """For the block, a cluster to work on; whether it was started here, to be ended with the block.

    It is the one that the process is connected to, else that of RAY_ADDRESS, else a local one.

    Raises:
        UsageError: Ray is not installed. DeviceError: there is no cluster.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    is_own = address in ("", "local")
    with quiet():
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise UsageError("--engine ray needs Ray: pip install 'img2img[ray]'") from error
        if ray.is_initialized():  # by whoever calls this as a library
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
                if isinstance(error, SystemExit):  # what Ray makes of SIGTERM while it starts
                    raise KeyboardInterrupt from None
                if not isinstance(error, Exception):
                    raise
                what = "a local Ray cluster does not start" if is_own else f"no Ray cluster at RAY_ADDRESS={address}"
                raise DeviceError(f"{what}: {short(error)} ({_LOUD}=info shows more)") from error
            finally:
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, on_term)  # Ray's own would end the process without a word
    log = logging.getLogger("ray.data")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a handler that keeps records of deaths would keep the dead, see `ray_engine.run`
    try:
        yield is_own and not is_connected
    finally:
        log.setLevel(level)
        if is_connected:
            gc.collect()
        else:
            end()


def _refuse_unreachable(address: str) -> None:
    """Ray itself would knock for minutes, and then end the process. Raises DeviceError."""
    match = re.fullmatch(r"(?:ray://)?\[?([^/\]]+?)\]?:([0-9]+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=KNOCK).close()
    except OSError as error:
        raise DeviceError(f"no Ray cluster at RAY_ADDRESS={address}: {error.strerror or error}") from error


def end() -> None:
    """End what was started here, or leave the cluster that was there; a second call does nothing."""
    import ray

    ray.shutdown()


@contextmanager
def quiet() -> Iterator[None]:
    """Without what Ray's libraries print on stderr while they start; nothing else speaks in this time."""
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
    """What Ray says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("No module named 'img2img" in line for line in lines):
        return "img2img is not installed on all of its nodes"
    return lines[-1][:300] if lines else type(error).__name__
