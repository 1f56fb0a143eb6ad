"""UNIT: Liu et al. 2017, "Unsupervised Image-to-Image Translation Networks"."""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods import unpaired
from img2img.methods.auto_encoders import AutoEncoderConfig, AutoEncoderGAN
from img2img.methods.config import NetworkConfig
from img2img.methods.figures import Picture
from img2img.methods.method import ModelExport, Networks
from img2img.methods.two_sided import DIRECTIONS
from img2img.networks.initialise import initialise
from img2img.networks.norms import inference_copy
from img2img.networks.unit import SharedLatent, UNITGenerator, UNITTranslator


class Config(AutoEncoderConfig):
    """Section 3 with the layers and weights of the authors' later code: LSGAN + 10 reconstruction + 10 cycle + 0.01 KL
    of the codes, Adam 1e-4.

    The weights of the paper (0.1 KL, 100 reconstruction, 100 cycle and 10 GAN) have the same proportions.
    """

    method: Literal["unit"] = Field(default="unit", description="method")
    generator: NetworkConfig = Field(default=NetworkConfig(name="unit"), description="auto-encoder of each side")
    share: bool = Field(
        default=True,
        description="the domains share the last residual block of the encoders and the first one of the decoders "
        "(weight-sharing constraint, section 3); false: they share nothing, as in the authors' later code",
    )
    cycle: float = Field(default=10.0, ge=0, description="weight of the cycle loss, in the paper a second VAE")
    code: float = Field(
        default=0.01,
        ge=0,
        description="weight of the Kullback-Leibler divergence between codes, normal with variance 1, and N(0, 1)",
    )


class UNIT(AutoEncoderGAN):
    """UNIT: both domains have the same codes. See `TwoSidedGAN` and `AutoEncoderGAN`.

    With `share` there is a network `shared`, see `unit.SharedLatent`.
    """

    recipe = Config
    config: Config

    def build_generator(self) -> nn.Module:
        config = self.config
        if config.generator.name != "unit":
            raise ConfigError(
                f"generator.name = {config.generator.name}: unit needs an encoder and a decoder; use unit"
            )
        return config.build(config.generator, fixed={"inputs": 3, "outputs": 3, "shared": int(config.share)})

    def further_networks(self) -> dict[str, nn.Module]:
        if not self.config.share:
            return {}
        width = cast(UNITGenerator, self.networks["generator_a"]).width
        return {"shared": initialise(SharedLatent(width), self.config.initialise, self.config.gain)}

    def translate(self, networks: Networks, real: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            target: _decode(networks, target, _noisy(_encode(networks, source, real[source])))
            for source, target in DIRECTIONS.values()
        }

    def losses(self, networks: Networks, real: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        config = self.config
        fake: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        for source, target in DIRECTIONS.values():
            code = _encode(networks, source, real[source])
            drawn = _noisy(code)
            fake[target] = _decode(networks, target, drawn)
            code_of_fake = _encode(networks, target, fake[target])
            same, back = (_decode(networks, source, one) for one in (drawn, _noisy(code_of_fake)))
            terms |= {
                f"reconstruction_{source}": config.reconstruction * self.distance(same, real[source]),
                f"cycle_{source}": config.cycle * self.distance(back, real[source]),
                f"code_{source}": config.code * code.square().mean(),
                f"code_cycle_{source}": config.code * code_of_fake.square().mean(),
            }
        return fake, terms

    def translations(self, networks: Networks, way: str, sources: Sequence[Picture]) -> dict[str, list[Picture]]:
        there, back = (_translator(networks, *sides) for sides in (DIRECTIONS[way], DIRECTIONS[way][::-1]))
        results = unpaired.translate(there, sources)
        return {"result": results, "back again": unpaired.translate(back, results)}

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return one model per direction: `model.AtoB.onnx` and `model.BtoA.onnx`."""
        models = []
        for way, sides in DIRECTIONS.items():
            translator = _translator(networks, *sides)
            models.append(self.model(way, translator, TranslationWrapper(translator)))
        return models


def _encode(networks: Networks, side: str, picture: Tensor) -> Tensor:
    code = cast(UNITGenerator, networks[f"generator_{side}"]).encode(picture)
    return cast(SharedLatent, networks["shared"]).encoder(code) if "shared" in networks else code


def _decode(networks: Networks, side: str, code: Tensor) -> Tensor:
    if "shared" in networks:
        code = cast(SharedLatent, networks["shared"]).decoder(code)
    return cast(UNITGenerator, networks[f"generator_{side}"]).decode(code)


def _noisy(code: Tensor) -> Tensor:
    return code + torch.randn_like(code)


def _translator(networks: Networks, source: str, target: str) -> nn.Module:
    """Return the way from one side to the other for inference."""
    shared = networks.get("shared")
    return inference_copy(
        UNITTranslator(
            cast(UNITGenerator, networks[f"generator_{source}"]),
            cast(UNITGenerator, networks[f"generator_{target}"]),
            cast(SharedLatent, shared) if shared is not None else None,
        )
    )
