"""The interface through which a run reports its progress. The command line displays it; TensorBoard and log.jsonl are
written in any case.
"""

from collections.abc import Mapping
from typing import Protocol


class Listener(Protocol):
    """Receives the events of a run. It must not change the run."""

    def note(self, text: str) -> None:
        """Show a message to the user."""

    def started(self, step: int, steps: int) -> None:
        """Training starts with step `step` (0-based) of `steps`."""

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """`step` steps are done. `figures` are the latest mean losses, and empty between two log lines."""

    def validated(self, step: int, figures: Mapping[str, float], *, best: bool) -> None:
        """The networks were validated after `step` steps."""


class SilentListener:
    """A listener that shows nothing."""

    def note(self, text: str) -> None: ...

    def started(self, step: int, steps: int) -> None: ...

    def stepped(self, step: int, figures: Mapping[str, float]) -> None: ...

    def validated(self, step: int, figures: Mapping[str, float], *, best: bool) -> None: ...
