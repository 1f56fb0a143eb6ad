"""What the user wants of the tasks. `--help` imports this module, so it must not import numpy."""

from dataclasses import dataclass

from img2img.runtime.tasks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The options of the tasks. Each applies to the models that support it."""

    scale: float | None = None
    to: tuple[str, ...] = ()
    reference: str | None = None
    mask: str | None = None
    device: str = "auto"
    threads: int | None = None
    max_pixels: int | None = None

    @property
    def settings(self) -> Settings:
        """The same for every model."""
        return Settings(device=self.device, threads=self.threads, max_pixels=self.max_pixels)
