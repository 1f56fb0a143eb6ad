"""DiscoGAN: Kim et al. 2017, "Learning to Discover Cross-Domain Relations with Generative Adversarial Networks"."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, NonNegativeInt
from torch import Tensor

from img2img.data.ranges import BatchSize, Probability, Side, SideOrOff, Steps
from img2img.data.unpaired import UnpairedData
from img2img.methods.config import AdversarialConfig, MatchingConfig, NetworkConfig, OptimiserConfig
from img2img.methods.method import Facts
from img2img.methods.unpaired_gan import CycleConfig, CyclicGAN
from img2img.section import Section

ADAM = OptimiserConfig(rate=2e-4, betas=(0.5, 0.999), weight_decay=1e-5)


class Data(UnpairedData):
    load: SideOrOff = Field(
        default=64, description="side in pixels that pictures are resized to; 0: crop at the original size"
    )
    crop: Side = Field(default=64, description="side of the random crop, in pixels")
    flip: bool = Field(default=False, description="mirror half of the crops, left to right")


class ShareConfig(Section):
    """Share of the reconstruction in the generator's loss; the adversarial loss and feature matching have the rest."""

    first: Probability = Field(default=0.01, description="share in the first steps")
    later: Probability = Field(default=0.5, description="share afterwards")
    steps: NonNegativeInt = Field(default=10_000, description="number of first steps")

    def at(self, step: int) -> float:
        """Return the share at `step`, counted from 0."""
        return self.first if step < self.steps else self.later


class Config(CycleConfig):
    """The official code: encoder-decoder and DCGAN at 64 px, 0.1 cross-entropy + 0.9 feature matching + L2.

    The share of the L2 to the input, there and back, rises from 0.01 to 0.5 after 10,000 steps. The discriminators are
    updated with every second update of the generators.
    """

    method: Literal["discogan"] = Field(default="discogan", description="method")
    data: Data = Field(description="two folders of pictures")
    generator: NetworkConfig = Field(default=NetworkConfig(name="discogan"), description="both generators")
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="dcgan"), description="both discriminators")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating", weight=0.1), description="adversarial objective"
    )
    matching: MatchingConfig = MatchingConfig(weight=0.9, kind="mean", distance="l2")
    objective: Literal["l1", "l2", "charbonnier"] = Field(default="l2", description="distance in the reconstruction")
    cycle: float = Field(default=1.0, ge=0, description="weight of the reconstruction, in addition to its share")
    share: ShareConfig = ShareConfig()
    generator_steps: int = Field(
        default=2, ge=1, le=100, description="generator updates per discriminator update, each on its own batch"
    )
    batch: BatchSize = Field(default=64, description="pictures per side and step, over all processes")
    steps: Steps = Field(default=100_000, description="training steps (generator updates)")
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM


class DiscoGAN(CyclicGAN):
    """DiscoGAN. The share of the reconstruction is small until the generators know the other domain.

    As in the official code, `matching` uses all activations of the DCGAN but the first, unless it names layers.
    """

    recipe = Config
    config: Config

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        if config.discriminator.name == "dcgan" and not config.matching.layers:
            halvings = config.data.crop.bit_length() - 3
            layers = tuple(f"main.{3 * number + 1}" for number in range(1, halvings))
            config = config.model_copy(update={"matching": config.matching.model_copy(update={"layers": layers})})
        super().__init__(config, facts)

    def total(self, adversarial: Tensor, terms: Mapping[str, Tensor]) -> Tensor:
        if "cycle" not in terms:
            return super().total(adversarial, terms)
        share = self.config.share.at(self.step_number)
        others = {name: term for name, term in terms.items() if name != "cycle"}
        return (1 - share) * super().total(adversarial, others) + share * terms["cycle"]
