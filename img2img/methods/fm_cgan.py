"""FM-CGAN: a conditional GAN whose generator matches mean features instead of fooling the discriminator.

Bao's doctoral thesis, chapter 3, with its misprints corrected; the mean feature matching of Bao et al. 2017 (CVAE-GAN),
section 3.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from img2img.exchange.wrappers import ConditionalWrapper
from img2img.methods.config import MatchingConfig
from img2img.methods.figures import to_signed
from img2img.methods.label_classes import LabelConfig, LabelMethod, classification, fixed_statistics
from img2img.methods.label_models import LabelSampler
from img2img.methods.method import Batch, Facts, ModelExport, Networks, Step, Validation
from img2img.networks.norms import inference_copy
from img2img.objectives.feature_matching import FeatureMatching


class Config(LabelConfig):
    """Equations 3.2 and 3.10 to 3.13: cross-entropy for discriminator and classifier; for the generator half the
    squared distance of mean features, of all pictures in the discriminator and of each label in the classifier.

    The means are moving averages, as published, because a batch has few pictures of a label. As published, a distance
    is a sum over the features and over the labels.

    For the conditional GAN that the thesis compares with, set `matching.weight = 0`, `classifier_matching = 0` and
    `adversarial.weight = 1`.
    """

    matching_kinds = ("centres", "mean")

    method: Literal["fm-cgan"] = Field(default="fm-cgan", description="method")
    matching: MatchingConfig = MatchingConfig(weight=1.0, kind="centres", distance="l2", reduction="half-sum")
    classifier_matching: NonNegativeFloat = Field(
        default=1.0, description="weight of the matching of the classifier's mean features of each label (lambda_1)"
    )


class FMCGAN(LabelMethod):
    """FM-CGAN. See `LabelMethod` for its batches. A picture is made from a code of N(0, 1) and a label alone."""

    recipe = Config

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.config = config
        self.classifier_matching = FeatureMatching("centres", "l2", reduction="half-sum")
        self.state = {**self.state, "classifier_matching": self.classifier_matching}

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        config = self.config
        figures: dict[str, Tensor] = {}
        for batch in batches:
            real, label = to_signed(batch["image"]), batch["label"]
            logits, _ = networks["classifier"](real)
            classified = classification(logits, label)  # equation 3.11
            yield "classifier", classified
            code = torch.randn(len(real), config.code, device=real.device)
            fake = networks["generator"](torch.cat((code, label), 1))
            loss, more = self.adversarial.discriminator_loss(networks["discriminator"], real, fake)  # equation 3.2
            yield "discriminator", loss
            figures |= more | {"classification": classified.detach()}
        loss, more = self.adversarial.generator_loss(networks["discriminator"], fake, real)  # equation 3.10
        figures |= more
        if config.classifier_matching:
            with fixed_statistics(networks["classifier"]):
                with torch.no_grad():
                    _, features_real = networks["classifier"](real)
                _, features_fake = networks["classifier"](fake)
            self.classifier_matching.to(real.device)
            matched = self.classifier_matching([features_real], [features_fake], label)  # equation 3.12
            loss = loss + config.classifier_matching * matched
            figures |= {"classifier_matching": matched.detach()}
        yield "generator", loss
        return {"loss": loss.detach()} | figures | self.adversarial.gradient()

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Make as many pictures of each label as there are held-out pictures, each from another code.

        Figures are those of `StarGAN.validate` without those that need a truth. The classifier decides which label a
        result has (`recognised`). `classified` is the share of held-out pictures that it labels correctly.
        """
        generator = inference_copy(networks["generator"], "running")
        device = next(generator.parameters()).device
        random = torch.Generator().manual_seed(self.config.seed)
        results = []
        for _, _, wanted in self.validation.pictures(device):
            code = torch.randn(1, self.config.code, generator=random).to(device)
            results.append(generator(torch.cat((code.expand(len(wanted), -1), wanted), 1)))
        figures, shown = self.validation.measure(results, networks["classifier"])
        for name in ("l1", "ssim", "l1_input", "ssim_input"):  # a result does not depend on the held-out picture
            figures.pop(name, None)
        return self.validation.result(figures, shown)

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return the model that draws samples. Of its picture, only the size matters."""
        sampler = LabelSampler(inference_copy(networks["generator"], "running"))
        card = self.card(sampler, latent=self.latent, **self.domains)
        return [ModelExport(ConditionalWrapper(sampler, ("domain", "latent")), card)]
