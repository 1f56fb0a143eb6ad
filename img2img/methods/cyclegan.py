"""CycleGAN: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"."""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from img2img.data.ranges import Steps
from img2img.methods.config import ScheduleConfig
from img2img.methods.unpaired_gan import CycleConfig, CyclicGAN, Pass


class Config(CycleConfig):
    """Section 4 and appendix 7: ResNet-9 and 70x70 PatchGANs, LSGAN + 10 cycle + 5 identity, replay pools of 50."""

    method: Literal["cyclegan"] = Field(default="cyclegan", description="method")
    objective: Literal["l1", "l2", "charbonnier"] = Field(
        default="l1", description="distance in the cycle and identity losses (equation 2)"
    )
    identity: float = Field(
        default=0.5,
        ge=0,
        description="weight of the identity loss, G(b) = b and F(a) = a, as a fraction of `cycle`; 0 if `cycle` is",
    )
    pool: int = Field(
        default=50, ge=0, le=100_000, description="earlier results in the replay pool of each discriminator"
    )
    steps: Steps = Field(default=200_000, description="training steps; the paper trains for 200 epochs")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)

    @model_validator(mode="after")
    def _identity_has_an_effect(self) -> Self:
        if self.identity and not self.cycle:
            raise ValueError(
                f"identity = {self.identity:g} is a fraction of cycle, and cycle is 0: set identity to 0 too"
            )
        return self


class CycleGAN(CyclicGAN):
    """CycleGAN. `generator_ab` is G in the paper, `generator_ba` is F. See `UnpairedGAN`."""

    recipe = Config
    config: Config

    def terms(self, one: Pass) -> dict[str, Tensor]:
        terms = super().terms(one)
        if identity := self.config.cycle * self.config.identity:
            terms["identity"] = identity * self.distance(one.there(one.wanted), one.wanted)
        return terms
