"""A pool of threads whose tasks fail with an error of ours if the system starts no more threads.

It is apart from `threads`, which every command imports, because concurrent.futures takes 5 ms to import.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from img2img.threads import NoThreads


class Pool(ThreadPoolExecutor):
    """A pool of threads. `submit` and `map` raise NoThreads, too."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        try:
            return super().submit(function, *args, **named)
        except RuntimeError as error:  # the executor cannot start its thread
            raise NoThreads from error
