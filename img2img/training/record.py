"""What a run writes about itself while it trains: its log, TensorBoard events, curves and contact sheets."""

from collections.abc import Mapping
from pathlib import Path

from PIL.Image import Image

from img2img.atomic import atomic
from img2img.methods.method import Validation
from img2img.runtime.image import pillow
from img2img.training.curves import curves
from img2img.training.run import Run
from img2img.training.sheets import contact_sheet


class Record:
    """Writes into a run folder. Only the main process has one.

    Its methods raise OSError or PictureError if a file cannot be written.

    Args:
        step: the last step that is done. What the log and the events hold about later ones is dropped.
    """

    def __init__(self, run: Run, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run = run
        run.rewind_log(step)
        self._board = SummaryWriter(str(run.folder / "events"), purge_step=step + 1 if step else None)

    def losses(self, step: int, figures: Mapping[str, float]) -> None:
        """Record the figures of a step."""
        self._run.log(step, dict(figures))
        self._draw("train", step, figures)

    def validation(self, step: int, validation: Validation) -> None:
        """Record a validation: its figures, its contact sheet, and the curves up to it."""
        self._run.log(step, {"validation": validation.figures})
        self._draw("validation", step, validation.figures)
        if validation.rows:
            sheet = contact_sheet(validation.columns, validation.rows)
            _save(sheet, self._run.folder / "samples" / f"step-{step:08d}.png")
        drawn = curves(self._run.log_file.read_text(encoding="utf-8", errors="replace").splitlines())
        if drawn:
            _save(drawn, self._run.folder / "curves.png")

    def warning(self, step: int, text: str) -> None:
        self._run.log(step, {"warning": text})
        self._board.add_text("health", text, step)

    def rewind(self, step: int) -> None:
        """Drop what the log holds about later steps."""
        self._run.rewind_log(step)

    def close(self) -> None:
        self._board.close()

    def _draw(self, group: str, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._board.add_scalar(f"{group}/{name}", value, step)


def _save(picture: Image, path: Path) -> None:
    with atomic(path) as file:
        pillow.save(picture, file, "PNG")
