"""CVAE-GAN: Bao et al. 2017, "CVAE-GAN: Fine-Grained Image Generation through Asymmetric Training".

Section and equation numbers are those of chapter 4 of Bao's doctoral thesis, with its misprints corrected. The mean
feature matching of pictures from random codes is in the ICCV paper (section 3.2 and algorithm 1) and not in the thesis.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from img2img.data.ranges import Count
from img2img.exchange.wrappers import ConditionalWrapper, DomainWrapper, InpaintingWrapper
from img2img.methods.config import MatchingConfig, NetworkConfig
from img2img.methods.figures import to_signed
from img2img.methods.label_classes import LabelConfig, LabelMethod, build_square, classification, fixed_statistics
from img2img.methods.label_models import (
    LabelCoder,
    LabelInpainter,
    LabelMorpher,
    LabelSampler,
    LabelTranslator,
)
from img2img.methods.method import Batch, Facts, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.networks.norms import inference_copy
from img2img.objectives import normal_codes
from img2img.objectives.feature_matching import FeatureMatching, Recorder

MORPHING = {"length": 1, "distribution": "position"}
REFERENCE = {"about": "the last picture of the morph", "multiple": 1, "minimum": 1}


class Config(LabelConfig):
    """Equations 4.1 to 4.5: cross-entropy for discriminator and classifier; for the generator half the squared
    distances of pixels, of discriminator features and of classifier features, 1 each; 3 KL. From the ICCV paper: 0.001
    mean feature matching of pictures from random codes, in the discriminator and in the classifier.

    As published, a distance is a sum over the values of a picture or layer. At 128 px these are 24,576 times the mean
    squared difference of the pixels, 16,384 times that of the discriminator's layer and 512 times that of the
    classifier's. The weights apply to the sums, so the defaults are as published at every crop.

    For symmetric training, which the paper compares with, set `matching.weight = 0` and `adversarial.weight = 1`.
    """

    method: Literal["cvae-gan"] = Field(default="cvae-gan", description="method")
    encoder: NetworkConfig = Field(
        default=NetworkConfig(name="vector-encoder"), description="encoder, from a picture and its label to a code"
    )
    reconstruction: NonNegativeFloat = Field(
        default=1.0, description="weight of half the squared distance to the picture, a sum over its values"
    )
    matching: MatchingConfig = MatchingConfig(weight=1.0, kind="pairwise", distance="l2", reduction="half-sum")
    classifier_matching: NonNegativeFloat = Field(
        default=1.0, description="weight of half the squared distance of the classifier's features, a sum over them"
    )
    kl: NonNegativeFloat = Field(
        default=3.0, description="weight of the KL divergence of the codes from N(0, 1), a sum over their numbers"
    )
    prior_matching: NonNegativeFloat = Field(
        default=1e-3,
        description="weight of matching the mean discriminator features of pictures from random codes (lambda_3)",
    )
    prior_classifier_matching: NonNegativeFloat = Field(
        default=1e-3,
        description="weight of matching their mean classifier features of each label (lambda_4). It makes the "
        "generator follow the label: a code of another picture's encoding may hold its own",
    )
    inpainting_rounds: Count = Field(
        default=10, description="how often the inpainting model reconstructs the picture to fill a hole"
    )


class CVAEGAN(LabelMethod):
    """CVAE-GAN. See `LabelMethod` for its batches. The network `encoder` gives the code of a picture with its label."""

    recipe = Config

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.config = config
        code, crop = config.code, config.data.crop
        encoder = build_square(
            config,
            "encoder",
            crop,
            (torch.zeros(1, 3, crop, crop), torch.zeros(1, self.labels)),
            [(1, code), (1, code)],
            inputs=3,
            outputs=code,
            labels=self.labels,
        )
        self.networks = {"encoder": encoder, **self.networks}
        self.optimisers["generator"] = OptimiserSpec(("encoder", "generator"), config.optimiser)
        self.averaged = ("encoder", *self.averaged)
        half_the_values = 3 * crop**2 / 2
        self.terms = ReconstructionLoss({"l2": config.reconstruction * half_the_values}, config.perceptual)
        self.classifier_matching = FeatureMatching("pairwise", "l2", reduction="half-sum")
        self.recorder = Recorder(self.networks["discriminator"], self.matched_layers)
        self.priors = {
            name: FeatureMatching("centres", "l2", reduction="half-sum")
            for name in ("prior_matching", "prior_classifier_matching")
            if getattr(config, name)
        }
        self.state = {**self.state, **self.priors}

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        config = self.config
        figures: dict[str, Tensor] = {}
        for batch in batches:
            real, label = to_signed(batch["image"]), batch["label"]
            logits, _ = networks["classifier"](real)
            classified = classification(logits, label)  # equation 4.4
            yield "classifier", classified
            mean, log_variance = networks["encoder"](real, label)
            fake = networks["generator"](torch.cat((normal_codes.draw(mean, log_variance), label), 1))
            loss, more = self.adversarial.discriminator_loss(networks["discriminator"], real, fake)  # equation 4.3
            if self.priors:
                random = torch.randn_like(mean)
                drawn = networks["generator"](torch.cat((random, label), 1))
                other, _ = self.adversarial.discriminator_loss(networks["discriminator"], real, drawn)
                loss = (loss + other) / 2
            yield "discriminator", loss
            figures |= more | {"classification": classified.detach()}
        terms, loss = self.terms(fake, real)  # equation 4.2, its three parts
        matched, more = self.adversarial.generator_loss(networks["discriminator"], fake, real)
        loss = loss + matched
        figures |= {"reconstruction" if name == "l2" else name: term for name, term in terms.items()} | more
        if "prior_matching" in self.priors:
            with torch.no_grad():
                _, features = self.recorder(real)
            _, features_drawn = self.recorder(drawn)
            loss = loss + config.prior_matching * self._match("prior_matching", features, features_drawn, None, figures)
        if config.classifier_matching or config.prior_classifier_matching:
            with fixed_statistics(networks["classifier"]):
                with torch.no_grad():
                    _, features_real = networks["classifier"](real)
                if config.classifier_matching:
                    _, features_fake = networks["classifier"](fake)
                    matched = self.classifier_matching([features_real], [features_fake])
                    loss = loss + config.classifier_matching * matched
                    figures |= {"classifier_matching": matched.detach()}
                if config.prior_classifier_matching:
                    name = "prior_classifier_matching"
                    _, features_fake = networks["classifier"](drawn)
                    matched = self._match(name, [features_real], [features_fake], label, figures)
                    loss = loss + config.prior_classifier_matching * matched
        divergence = normal_codes.divergence(mean, log_variance)  # equation 4.1; it does not reach the generator
        loss = loss + config.kl * divergence
        yield "generator", loss
        return {"loss": loss.detach(), "kl": divergence.detach()} | figures | self.adversarial.gradient()

    def _match(
        self, name: str, real: list[Tensor], fake: list[Tensor], label: Tensor | None, figures: dict[str, Tensor]
    ) -> Tensor:
        """Return the distance of the moving means `name`, and put it into `figures`."""
        matched: Tensor = self.priors[name].to(fake[0].device)(real, fake, label)
        figures[name] = matched.detach()
        return matched

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Give every held-out picture each label, as the model does.

        Figures are those of `StarGAN.validate`, where the classifier decides which label a result has, and
        `classified`, the share of held-out pictures that it labels correctly, and `reconstruction`, the mean absolute
        error, 0..1, of pictures that keep their label.
        """
        coder = self._coder(networks)
        translator = LabelTranslator(coder).eval()
        results, own = [], []
        for picture, label, wanted in self.validation.pictures(next(coder.parameters()).device):
            results.append(translator(picture.expand(len(wanted), -1, -1, -1), wanted))
            own.append(translator(picture, label))
        figures, shown = self.validation.measure(results, networks["classifier"], own=own)
        return self.validation.result(figures, shown)

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return the model that translates, and those that fill holes, morph and draw samples.

        Their batch norm uses the statistics of training, because the first layer of the generator sees 4 x 4 pixels.
        """
        coder = self._coder(networks)
        translator, inpainter = LabelTranslator(coder), LabelInpainter(coder, self.config.inpainting_rounds)
        morpher, sampler = LabelMorpher(coder), LabelSampler(coder.generator)
        return [
            ModelExport(DomainWrapper(translator), self.card(translator, **self.domains)),
            ModelExport(
                InpaintingWrapper(inpainter),
                self.card(inpainter, task="inpaint", suffix="-inpaint", **self.domains),
                ".inpaint",
            ),
            ModelExport(
                ConditionalWrapper(morpher, ("reference", "latent")),
                self.card(morpher, suffix="-morph", reference=REFERENCE, latent=MORPHING),
                ".morph",
            ),
            ModelExport(
                ConditionalWrapper(sampler, ("domain", "latent")),
                self.card(sampler, suffix="-samples", latent=self.latent, **self.domains),
                ".samples",
            ),
        ]

    def _coder(self, networks: Networks) -> LabelCoder:
        encoder, generator, classifier = (
            inference_copy(networks[name], "running") for name in ("encoder", "generator", "classifier")
        )
        return LabelCoder(encoder, generator, classifier, self.config.data.crop)
