"""MUNIT: Huang et al. 2018, "Multimodal Unsupervised Image-to-Image Translation"."""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.exchange.wrappers import ConditionalWrapper
from img2img.methods.auto_encoders import AutoEncoderConfig, AutoEncoderGAN
from img2img.methods.config import NetworkConfig
from img2img.methods.figures import Picture, distances, to_pictures, to_signed
from img2img.methods.method import ModelExport, Networks
from img2img.methods.two_sided import DIRECTIONS
from img2img.networks.munit import MUNITGenerator, MUNITTranslator, ReferenceTranslator
from img2img.networks.norms import inference_copy

SAMPLES = 3
"""Results of each held-out picture, each with a random style."""


class Config(AutoEncoderConfig):
    """Sections 4 and 5.1 and the official configurations: LSGAN + 10 reconstruction of pictures + 1 of styles + 1 of
    contents, 8 numbers of style, Adam 1e-4.
    """

    method: Literal["munit"] = Field(default="munit", description="method")
    generator: NetworkConfig = Field(default=NetworkConfig(name="munit"), description="auto-encoder of each side")
    style: float = Field(
        default=1.0, ge=0, description="weight of the reconstruction of random styles (lambda_s, equation 4)"
    )
    content: float = Field(
        default=1.0, ge=0, description="weight of the reconstruction of contents (lambda_c, equation 3)"
    )
    cycle: float = Field(
        default=0.0,
        ge=0,
        description="weight of the style-augmented cycle loss: content there and back, with the picture's own style "
        "(section 5.1; 10 where little should change)",
    )


class MUNIT(AutoEncoderGAN):
    """MUNIT: a picture keeps its content and gets a style of the other domain, drawn at random or from a picture.

    See `TwoSidedGAN` and `AutoEncoderGAN`.
    """

    recipe = Config
    config: Config

    def build_generator(self) -> nn.Module:
        config = self.config
        if config.generator.name != "munit":
            raise ConfigError(
                f"generator.name = {config.generator.name}: munit needs encoders of content and style; use munit"
            )
        generator = config.build(config.generator, fixed={"inputs": 3, "outputs": 3})
        minimum = cast(MUNITGenerator, generator).style_encoder.minimum
        if config.data.crop < minimum:
            raise ConfigError(
                f"data.crop = {config.data.crop}: the style encoder needs at least {minimum} pixels; use larger crops, "
                "or a lower generator.options.style_downs"
            )
        return generator

    def translate(self, networks: Networks, real: Mapping[str, Tensor]) -> dict[str, Tensor]:
        fake = {}
        for source, target in DIRECTIONS.values():
            there, back = _generators(networks, source, target)
            fake[target] = there.decoder(back.content_encoder(real[source]), _draw(there, real[source]))
        return fake

    def losses(self, networks: Networks, real: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        config, distance = self.config, self.distance
        fake: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        for source, target in DIRECTIONS.values():
            there, back = _generators(networks, source, target)
            content, own_style = back.content_encoder(real[source]), back.style_encoder(real[source])
            style = _draw(there, real[source])
            fake[target] = there.decoder(content, style)
            content_of_fake = there.content_encoder(fake[target])
            terms |= {
                f"reconstruction_{source}": config.reconstruction
                * distance(back.decoder(content, own_style), real[source]),
                f"style_{target}": config.style * distance(there.style_encoder(fake[target]), style),
                f"content_{source}": config.content * distance(content_of_fake, content),
            }
            if config.cycle:
                cycled = back.decoder(content_of_fake, own_style)
                terms[f"cycle_{source}"] = config.cycle * distance(cycled, real[source])
        return fake, terms

    def translations(self, networks: Networks, way: str, sources: Sequence[Picture]) -> dict[str, list[Picture]]:
        translator = _translator(networks, way, MUNITTranslator)
        device = next(translator.parameters()).device
        length = cast(MUNITGenerator, networks["generator_a"]).style
        # The same styles in each validation, and others for each picture, as in the data.
        random = torch.Generator().manual_seed(self.config.seed)
        columns: dict[str, list[Picture]] = {f"sample {number + 1}": [] for number in range(SAMPLES)}
        for source in sources:
            picture = to_signed(torch.from_numpy(source).permute(2, 0, 1)[None].to(device))
            for column in columns.values():
                column += to_pictures(translator(picture, torch.randn(1, length, generator=random).to(device)))
        return columns

    def further_figures(self, columns: Mapping[str, Sequence[Picture]]) -> dict[str, float]:
        """Return `samples_apart`, the mean L1 distance between the results of two styles."""
        first, second, *_ = columns.values()
        return {"samples_apart": distances(first, second)["l1"]}

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return two models per direction: `model.AtoB.onnx` draws styles, `model.AtoB.reference.onnx` takes that of a
        second picture.
        """
        generator = cast(MUNITGenerator, networks["generator_a"])
        latent = {"length": generator.style, "distribution": "normal"}
        reference = {
            "about": "a picture in the wanted style",
            "multiple": 1,
            "minimum": generator.style_encoder.minimum,
        }
        models = []
        for way in DIRECTIONS:
            drawn, shown = (_translator(networks, way, kind) for kind in (MUNITTranslator, ReferenceTranslator))
            models += [
                self.model(way, drawn, ConditionalWrapper(drawn, ("latent",)), latent=latent),
                self.model(
                    way,
                    shown,
                    ConditionalWrapper(shown, ("reference",)),
                    suffix=".reference",
                    reference=reference,
                ),
            ]
        return models


def _generators(networks: Networks, source: str, target: str) -> tuple[MUNITGenerator, MUNITGenerator]:
    """Return the auto-encoders of the target and of the source."""
    return cast(MUNITGenerator, networks[f"generator_{target}"]), cast(MUNITGenerator, networks[f"generator_{source}"])


def _translator(networks: Networks, way: str, kind: type[MUNITTranslator]) -> nn.Module:
    """Return the way from one side to the other for inference."""
    there, back = _generators(networks, *DIRECTIONS[way])
    return inference_copy(kind(back, there))


def _draw(generator: MUNITGenerator, pictures: Tensor) -> Tensor:
    return torch.randn(len(pictures), generator.style, device=pictures.device)
