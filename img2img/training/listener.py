"""What a run tells whoever watches it. The command line draws it; TensorBoard and log.jsonl get it anyway."""

from collections.abc import Mapping
from typing import Protocol


class Listener(Protocol):
    """Told what happens; must not change it."""

    def note(self, text: str) -> None:
        """A sentence for the person who watches."""

    def started(self, step: int, steps: int) -> None:
        """The first step to be taken is `step` (0-based) of `steps`."""

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """`step` steps are done; `figures` are the newest losses (means), empty between two log lines."""

    def validated(self, step: int, figures: Mapping[str, float], *, best: bool) -> None:
        """A validation after `step` steps."""


class SilentListener:
    """A listener that says nothing."""

    def note(self, text: str) -> None: ...

    def started(self, step: int, steps: int) -> None: ...

    def stepped(self, step: int, figures: Mapping[str, float]) -> None: ...

    def validated(self, step: int, figures: Mapping[str, float], *, best: bool) -> None: ...
