"""StarGAN: Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation"."""

from collections.abc import Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.utils.data import Dataset

from img2img import objectives
from img2img.data.domains import DomainData
from img2img.data.labelled import DomainSet, Held
from img2img.errors import ConfigError, DataError
from img2img.evaluation.distribution import sliced_wasserstein
from img2img.exchange.faces import Labelled
from img2img.methods.cards import card_of
from img2img.methods.config import (
    AdversarialConfig,
    MatchingConfig,
    NetworkConfig,
    OptimiserConfig,
    PerceptualConfig,
    ScheduleConfig,
)
from img2img.methods.figures import Picture, distances, diversity, label_effect, pictures, signed, spread
from img2img.methods.game import Game
from img2img.methods.gan import GANConfig
from img2img.methods.labels import (
    Classification,
    Judge,
    Unified,
    labelled_discriminator,
    labelled_generator,
    permuted,
    unified,
)
from img2img.methods.method import Batch, Exportable, Facts, Method, Networks, Optimised, Step, Validation
from img2img.methods.terms import Terms
from img2img.networks.norms import at_test

ADAM = OptimiserConfig(rate=1e-4, betas=(0.5, 0.999))

SHOWN = 8
"""Rows of the contact sheet."""

HELD = 24
"""Held-out pictures of a domain, or of a table of attributes, that a validation translates, each into every domain."""

TRANSLATIONS = 300
"""Of a validation, about: with many domains it takes fewer pictures of each."""


class Config(GANConfig):
    """Sections 4 and 5 and the official code: WGAN-GP with 5 discriminator updates for one of the generator, 1 domain
    classification, 10 reconstruction, Adam 1e-4, batch 16 of 128 px.

    For CelebA as published: `data.centre = 178`. The official code counts the discriminator's updates, 200,000 of them;
    `steps` are the generator's, a fifth.
    """

    method: Literal["stargan"] = Field(default="stargan", description="method")
    data: DomainData = Field(description="pictures of several domains")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="stargan"),
        description="generator; one that knows no labels gets them as channels beside the picture's",
    )
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="stargan-discriminator"),
        description="discriminator; beside one that knows no domains a classifier is put",
    )
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="wgan-gp", discriminator_steps=5), description="the game (equation 8)"
    )
    matching: MatchingConfig = MatchingConfig(kind="class-mean")
    classification: float = Field(default=1.0, ge=0, description="weight of the domain classification, of both sides")
    reconstruction: float = Field(
        default=10.0, ge=0, description="weight of the reconstruction, G(G(x, target), origin) = x"
    )
    objective: Literal["l1", "l2", "charbonnier"] = Field(default="l1", description="distance of the reconstruction")
    pairs: float = Field(
        default=0.0,
        ge=0,
        description="weight of the distance to the picture of the same name in the wanted domain, where there is one; "
        "0: unpaired, as published",
    )
    perceptual: PerceptualConfig = Field(
        default=PerceptualConfig(), description="a further distance of the reconstruction"
    )
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm, where a generator has it, in validation and export: statistics of the picture, or "
        "those of training",
    )
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="none", description="initialisation of the networks; none: torch's own"
    )
    steps: PositiveInt = Field(default=40_000, description="training steps, each an update of the generator")
    batch: PositiveInt = Field(default=16, description="pictures an update, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)


class StarGAN(Method):
    """See the module. Batches: `image` uint8 `[N, 3, H, W]`; `label` and `known` float32 `[N, K]`, `set` int64 `[N]`;
    with `pairs` also `partner`, `partner_label` and `told`, see `labelled.DomainCrops`.

    Networks: `generator` of (picture -1..1, label, see `labels.unified`), `discriminator` to (scores, domain logits).
    """

    recipe = Config
    headline = "closeness"

    data: DomainSet

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        if facts is None:
            self.data = DomainSet.read(config.data, seed=config.seed, paired=config.pairs > 0)
            self.notes += self.data.notes
            facts = {
                "domains": list(self.data.domains),
                "exclusive": self.data.exclusive,
                "sets": [[block.start, block.stop] for block in self.data.blocks],
                "set_exclusive": list(self.data.set_exclusive),
            }
        self.facts = facts
        self.blocks = [slice(*block) for block in facts["sets"]]
        self.count, self.columns = len(self.blocks), len(facts["domains"])
        if config.batch // config.accumulate < 2 * self.count:
            raise ConfigError(
                f"batch = {config.batch} in accumulate = {config.accumulate} parts: a part needs {2 * self.count} "
                "pictures, since the wanted labels are those of the other pictures in it"
            )
        if config.matching.weight and config.matching.kind == "pairwise":
            raise ConfigError("matching.kind = pairwise needs pairs, StarGAN has none: use class-mean or mean")
        told = self.columns + (self.count if self.count > 1 else 0)
        self.networks = {
            "generator": labelled_generator(config, told, config.data.crop),
            "discriminator": labelled_discriminator(config, self.columns, config.data.crop),
        }
        self.game = Game(config.adversarial, config.matching, self.networks["discriminator"])
        self.optimised = {
            "generator": Optimised(("generator",), config.optimiser),
            "discriminator": Optimised(("discriminator",), config.discriminator_optimiser, self.game.bound),
        }
        self.averaged = ("generator",)
        self.batches = config.adversarial.discriminator_steps
        self.state = self.game.state
        self.classify = Classification(self.blocks, facts["set_exclusive"])
        self.terms = Terms({config.objective: config.reconstruction}, config.perceptual)
        self.drawn = objectives.build(config.objective)

    def load(self) -> Dataset[Batch]:
        self.sources = self._sources()
        self.measured = [column for column in range(self.columns) if self._into(column) and self._reals(column)]
        if not self.measured:
            raise DataError(
                f"no domain of {', '.join(self.data.domains)} has held-out pictures both of it and of others: "
                "set data.validation"
            )
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        generator, discriminator, config = networks["generator"], networks["discriminator"], self.config
        figures: dict[str, Tensor] = {}
        for place, batch in enumerate(batches):
            real, label, known = signed(batch["image"]), batch["label"], batch["known"]
            origin = unified(label, batch["set"], self.count)
            # The wanted labels are those of other pictures of the batch, so their distribution is that of the data.
            others = permuted(batch["set"])
            wanted, target = label[others], origin[others]
            if config.pairs:
                told = batch["told"] > 0
                wanted = torch.where(told[:, None], batch["partner_label"], wanted)
                target = unified(wanted, batch["set"], self.count)
            with torch.set_grad_enabled(place == len(batches) - 1):  # the last one also teaches the generator
                fake = generator(real, target)
            judge = Judge(discriminator)
            adversarial, more = self.game.discriminator_loss(judge, real, fake)  # equation 1, or 8
            classified = self.classify(judge.logits[0], label, known)  # equation 2
            yield "discriminator", adversarial + config.classification * classified  # equation 5
            figures |= more | {"classification_real": classified.detach()}
        judge = Judge(discriminator)
        # Pictures of the wanted domains: what features and relativistic scores are compared with.
        like = real[others]
        if config.pairs:
            told = told[:, None, None, None]
            like = torch.where(told, signed(batch["partner"]), like)
        adversarial, more = self.game.generator_loss(judge, fake, like, wanted)
        classified = self.classify(judge.logits[-1], wanted, known)  # equation 3
        loss = adversarial + config.classification * classified
        figures |= more | {"classification_fake": classified.detach()}
        if self.terms:
            terms, reconstruction = self.terms(generator(fake, origin), real)  # equation 4
            loss = loss + reconstruction  # equation 6
            figures |= {"reconstruction" if name == config.objective else name: term for name, term in terms.items()}
        if config.pairs:
            # A mean over all pictures, to which those without a partner add nothing: so parts of a batch, and
            # processes, add up whatever their shares.
            drawn = self.drawn(torch.where(told, fake, like), like)
            loss = loss + config.pairs * drawn
            figures |= {"pairs": drawn.detach()}
        yield "generator", loss
        return {"loss": loss.detach()} | figures | self.game.gradient()

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Held-out pictures in every domain; of attributes, with each of them turned round.

        `swd` is the mean over domains of the sliced Wasserstein distance of what was translated into the domain and
        real pictures of it, `closeness` minus that; `recognised` the share in which the discriminator finds what was
        wanted. `label_effect` and `diversity` are watched by `training.health`. Figures with `_input` are those of
        doing nothing. Where pictures of several domains have one name, as one thing drawn in several styles, `l1` and
        `ssim` compare what was made with what it should be. Domains of other data sets are shown, not measured.
        """
        generator = at_test(networks["generator"], self.config.norm_mode)
        made: list[list[Picture]] = []
        said: list[Tensor] = []
        for held in self.sources:
            label, sets = self._asked(held)
            device = next(generator.parameters()).device
            picture = signed(torch.from_numpy(held.picture).permute(2, 0, 1)[None].to(device))
            results = generator(picture.expand(len(label), -1, -1, -1), unified(label, sets, self.count).to(device))
            made.append(pictures(results))
            said.append(networks["discriminator"](results)[1].float().cpu())
        captions = [
            name if self.data.set_exclusive[self._set(column)] else f"turn {name}"
            for column, name in enumerate(self.data.domains)
        ]
        rows = [[self.sources[i].picture, *made[i][: self.columns]] for i in self._shown()]
        return Validation(self._measure(made, said), ["input", *captions], rows)

    def models(self, networks: Networks) -> list[Exportable]:
        """One file for all domains. Of several data sets its `domain` has the columns of all: see `labels.Unified`."""
        generator = at_test(networks["generator"], self.config.norm_mode)
        asked = generator if self.count == 1 else Unified(generator, self.blocks, self.facts["set_exclusive"])
        domains = {"domains": tuple(self.facts["domains"]), "exclusive": self.facts["exclusive"]}
        card = card_of(self.config, generator, name="stargan", task="translate", method="stargan", **domains)
        return [Exportable(Labelled(asked), card)]

    def _set(self, column: int) -> int:
        return next(number for number, block in enumerate(self.data.blocks) if column < block.stop)

    def _sources(self) -> list[Held]:
        """The held-out pictures that are translated, evenly chosen, domains in turn."""
        groups = self._groups()
        most = min(HELD, max(TRANSLATIONS // (self.columns * len(groups)), 2))
        turns = zip_longest(*(spread(group, most) for group in groups))
        return [held for turn in turns for held in turn if held is not None]

    def _shown(self) -> list[int]:
        """The sources of the contact sheet, by place: another thing of another domain in each row."""
        count = len(self._groups())
        turns = max(len(self.sources) // count, 1)
        rows = min(SHOWN, len(self.sources))
        return sorted({min(row * turns // rows * count + row % count, len(self.sources) - 1) for row in range(rows)})

    def _groups(self) -> list[list[Held]]:
        """The held-out pictures of each domain; those of a table of attributes are one group."""
        groups: list[list[Held]] = []
        for number, (block, exclusive) in enumerate(zip(self.data.blocks, self.data.set_exclusive, strict=True)):
            own = [held for held in self.data.held if held.set == number]
            groups += [[h for h in own if h.label[c]] for c in range(block.start, block.stop)] if exclusive else [own]
        return groups

    def _into(self, column: int) -> list[int]:
        """The sources, by place, that can be translated into `column`: of its data set, and not of it already."""
        number = self._set(column)
        return [i for i, held in enumerate(self.sources) if held.set == number and not held.label[column]]

    def _reals(self, column: int) -> list[Picture]:
        return [held.picture for held in self.data.held if held.label[column]]

    def _asked(self, held: Held) -> tuple[Tensor, Tensor]:
        """The labels `[K, K]` that a held-out picture is translated to, one for each column, and their data sets `[K]`;
        of attributes a last one that changes nothing."""
        sets = [self._set(column) for column in range(self.columns)]
        labels = np.eye(self.columns, dtype=np.float32)
        if not self.data.set_exclusive[held.set]:
            for column in range(self.columns):
                if sets[column] == held.set:
                    labels[column] = held.label
                    labels[column, column] = 1 - held.label[column]
            labels, sets = np.vstack((labels, held.label)), [*sets, held.set]
        return torch.from_numpy(labels), torch.tensor(sets)

    def _measure(self, made: list[list[Picture]], said: list[Tensor]) -> dict[str, float]:
        shares, spreads = [], []
        for column in self.measured:
            places = self._into(column)
            found = self.classify.recognised(torch.stack([said[i][column] for i in places]), column)
            shares.append(float(found.float().mean()))
            spreads.append(diversity([made[i][column] for i in places], self._reals(column)))
        own = [self.data.blocks[held.set] for held in self.sources]
        effect = label_effect([row[block] + row[self.columns :] for row, block in zip(made, own, strict=True)])
        figures = self._distances(made)
        return {
            "closeness": -figures["swd"],
            **figures,
            **{f"{name}_input": value for name, value in self._untouched.items()},
            "recognised": float(np.mean(shares)),
            "label_effect": effect,
            "diversity": min(spreads),
        }

    @cached_property
    def _untouched(self) -> dict[str, float]:
        return self._distances([[held.picture] * self.columns for held in self.sources])

    def _distances(self, made: list[list[Picture]]) -> dict[str, float]:
        """How far `made`, of each source its picture in every domain, is from real pictures of these domains."""
        swd, results, truths = [], [], []
        for column in self.measured:
            places = self._into(column)
            swd.append(sliced_wasserstein([made[i][column] for i in places], spread(self._reals(column), len(places))))
            for i in places if self.data.set_exclusive[self._set(column)] else ():
                truth = self.data.truth(self.sources[i].name, column)
                if truth is not None:
                    results.append(made[i][column])
                    truths.append(truth)
        paired = distances(results, truths) if truths else {}
        return {"swd": float(np.mean(swd))} | {name: paired[name] for name in ("l1", "ssim") if name in paired}
