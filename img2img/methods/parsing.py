"""The parsing loss of Li et al. 2017, and the segmentation network that it needs, which is trained first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from img2img.data import labels, layouts
from img2img.data.folders import Reading, read_rgb
from img2img.data.ranges import Steps
from img2img.errors import ConfigError, DataError
from img2img.evaluation import segmentation
from img2img.evaluation.fcn_score import Palette
from img2img.evaluation.segmentation import LabelledPhoto
from img2img.networks.segmentation import SegmentationNetwork
from img2img.objectives.parsing import parsing_loss
from img2img.section import Section
from img2img.text import count_of

MAX_PHOTOS = 2000
"""The most photos to train the segmentation network on. If there are more, a hash of the name selects them."""


class ParsingConfig(Section):
    """The parsing loss, which asks that a segmentation network sees the same parts in result and truth."""

    weight: float = Field(
        default=0.0, ge=0, description="weight of the parsing loss (Li et al. 2017; their code has 0.05); 0: off"
    )
    labels: Path | None = Field(
        default=None,
        description="folder of label maps with the names of their photos, to train the segmentation network on before "
        "the first step; photos without a label map are not used for that",
    )
    steps: Steps = Field(default=segmentation.STEPS, description="training steps of the segmentation network")

    @model_validator(mode="after")
    def _has_labels(self) -> Self:
        if self.weight and self.labels is None:
            raise ValueError("parsing.weight needs parsing.labels, a folder of label maps with the names of the photos")
        return self


class ParsingLoss:
    """The parsing loss. It trains its segmentation network when it is first called, on photos squeezed to the crop.

    The network is part of the state of the method, so that a run that continues has the same one.

    Args:
        side: side of the crops in pixels.

    Raises:
        ConfigError: the segmentation network cannot take crops of this size.
    """

    def __init__(self, config: ParsingConfig, *, side: int, seed: int) -> None:
        self.config = config
        self.side = side
        self.seed = seed
        self.network: SegmentationNetwork | None = None
        self._photos: list[tuple[Path, Path]] = []
        self._palette: Palette | None = None
        self._reading = Reading()
        multiple = SegmentationNetwork(2).multiple
        if side % multiple:
            raise ConfigError(f"parsing.weight: data.crop = {side} must be a multiple of {multiple}")

    def find(self, folders: Sequence[Path], reading: Reading) -> str:
        """Find and check the label maps of the photos in `folders`. Return a note for the user.

        Raises:
            DataError: there are none, or they are not label maps.
        """
        assert self.config.labels is not None
        maps = dict(layouts.named_pictures(self.config.labels))
        photos = dict(one for folder in folders for one in layouts.named_pictures(folder))
        names = sorted(maps.keys() & photos.keys())
        if not names:
            raise DataError(
                f"{self.config.labels}: no label map has the name of a photo; it contains "
                f"{layouts.list_first(maps, 3)}, and the photos are {layouts.list_first(photos, 3)}",
                path=self.config.labels,
            )
        names = layouts.at_most(names, names, MAX_PHOTOS)
        self._photos = [(photos[name], maps[name]) for name in names]
        self._reading = reading
        found = labels.count_colours(
            len(names), lambda place: read_rgb(self._photos[place][1], reading), most=labels.MAX_CLASSES
        )
        if found.too_many or len(found.seen) < 2:
            kind = f"more than {labels.MAX_CLASSES} colours" if found.too_many else "a single colour"
            raise DataError(
                f"{self.config.labels}: the label maps have {kind}, so they are not label maps of several classes",
                path=self.config.labels,
            )
        self._palette = found.palette
        return (
            f"parsing loss: the first step trains a segmentation network of {len(found.palette)} classes on "
            f"{count_of(len(names), 'photo')} with label maps"
        )

    def __call__(self, filled: Tensor, truth: Tensor) -> Tensor:
        """The unweighted loss, see `parsing_loss`.

        Raises:
            PictureError, DataError: a photo or a label map cannot be read.
        """
        if self.network is None:
            self.network = self._train()
        return parsing_loss(self.network.to(filled.device), filled, truth)

    def _train(self) -> SegmentationNetwork:
        assert self._palette is not None  # `find` comes first
        photos = []
        for photo, label_map in self._photos:
            classes = labels.to_classes(read_rgb(label_map, self._reading), self._palette, name=str(label_map))
            photos.append(LabelledPhoto(read_rgb(photo, self._reading), classes[..., 0]).resized(self.side))
        with torch.autocast("cpu", enabled=False):
            network = segmentation.train(
                photos, len(self._palette), side=self.side, seed=self.seed, steps=self.config.steps
            )
        return _frozen(network)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.network is None else dict(self.network.state_dict())

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        if state:
            network = SegmentationNetwork(len(state["scores.0.weight"]))
            network.load_state_dict(state)
            self.network = _frozen(network)


def _frozen(network: SegmentationNetwork) -> SegmentationNetwork:
    network.eval().requires_grad_(False)
    return network
