"""What methods for paired data share: the data, its channels, and the classes of label maps."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from img2img.data.paired import HeldOutPair, PairedSet
from img2img.errors import ConfigError
from img2img.methods.config import NetworkConfig
from img2img.methods.figures import to_signed
from img2img.methods.method import Batch, Facts, Method


@dataclass(frozen=True)
class PairedChannels:
    """The channels of inputs and results.

    Attributes:
        inputs: channels that a generator sees: 3 for colour, 1 for grey, one per class for a label map (one-hot).
        outputs: channels of a result, 1 or 3.
        palette: colours of the classes, uint8 `[K, 3]`, if inputs are label maps; otherwise None.
    """

    inputs: int
    outputs: int
    palette: NDArray[np.uint8] | None

    @classmethod
    def of_data(cls, data: PairedSet) -> Self:
        return cls(data.input_channels, data.target_channels, data.palette)

    @classmethod
    def of_facts(cls, facts: Facts) -> Self:
        """Return what `facts`, of an earlier run, recorded."""
        palette = facts["palette"]
        return cls(facts["inputs"], facts["outputs"], None if palette is None else np.array(palette, np.uint8))

    @property
    def facts(self) -> dict[str, Any]:
        """The channels as plain values, for `Method.facts`."""
        palette = None if self.palette is None else self.palette.tolist()
        return {"inputs": self.inputs, "outputs": self.outputs, "palette": palette}

    def check(self, generator: NetworkConfig) -> None:
        """Check that a residual generator has a picture to add its result to.

        Raises:
            ConfigError: it has none.
        """
        if not generator.options.get("residual"):
            return
        if self.palette is not None:
            raise ConfigError(
                "generator.options.residual = true: a residual cannot be added to a label map; set it to false"
            )
        # Beside the planes of a code, the network itself does not notice that the picture has too few channels.
        if self.inputs < self.outputs:
            raise ConfigError(
                f"generator.options.residual = true: cannot add {self.outputs} output channels to {self.inputs} input "
                "channels; set it to false"
            )

    def to_input(self, source: Tensor) -> Tensor:
        """Return what a generator sees of `source`, uint8 `[N, C, H, W]`: values in -1..1, or one-hot classes."""
        if self.palette is None:
            return to_signed(source)
        return F.one_hot(source[:, 0].long(), len(self.palette)).permute(0, 3, 1, 2).float()

    def of_held_out(self, held: HeldOutPair, device: torch.device) -> Tensor:
        """Return what a generator sees of a held-out pair, `[1, inputs, H, W]`."""
        return self.to_input(torch.from_numpy(held.input).permute(2, 0, 1)[None].to(device))

    def pictures(self, *, conditional: bool) -> list[slice]:
        """Return the channels of each picture in what a discriminator sees: the input, if it is conditional and the
        input is no label map, and the result.
        """
        if not conditional:
            return [slice(None)]
        result = slice(self.inputs, None)
        return [result] if self.palette is not None else [slice(0, self.inputs), result]


class PairedMethod(Method):
    """Base of the methods for pairs of pictures.

    Attributes:
        data: the pairs; missing if the method was built from the facts of an earlier run.
        channels: what the networks must know about the pairs.
    """

    data: PairedSet
    channels: PairedChannels

    def read_pairs(self, config: Any, facts: Facts | None) -> None:
        """Read the data, or take its channels from `facts`, as the constructor of a `Method` does.

        Args:
            config: a `RunConfig` whose data section is a `PairedData`.

        Raises:
            DataError: see `PairedSet.read`.
        """
        self.notes = []
        if facts is None:
            self.data = PairedSet.read(config.data, seed=config.seed, held_out=config.validate_pictures)
            self.notes += self.data.notes
            facts = PairedChannels.of_data(self.data).facts
        self.facts = facts
        self.channels = PairedChannels.of_facts(facts)

    def load(self) -> Dataset[Batch]:
        return self.data.dataset
