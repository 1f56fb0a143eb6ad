"""Labels in a translation between many domains: how networks are given them, and how networks without them get them."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img import networks
from img2img.errors import ConfigError
from img2img.lookup import lookup
from img2img.methods.gan import GANConfig
from img2img.networks.unet import UNet
from img2img.objectives.classification import DomainClassification

PUBLISHED_HALVINGS = 6
"""Of StarGAN's discriminator (table 5)."""


def with_mask_vector(label: Tensor, sets: Tensor, count: int) -> Tensor:
    """What the generator is told: the labels of all data sets, and the mask vector where there are several.

    Choi et al. 2018, equation 7: [c_1, ..., c_n, m], m one-hot over the data sets, the labels of the others 0.

    Args:
        label: `[N, K]`, 0 in the columns of other data sets.
        sets: int64 `[N]`, the data set whose labels are given.
        count: how many data sets there are, n.

    Returns:
        `[N, K]` for one data set, `[N, K + n]` for more.
    """
    if count == 1:
        return label
    return torch.cat((label, F.one_hot(sets, count).to(label)), 1)


def permute_within_sets(sets: Tensor) -> Tensor:
    """A random permutation, int64 `[N]`, that exchanges pictures of the same data set only; `sets` is int64 `[N]`."""
    order = torch.argsort(sets.double() + torch.rand(len(sets), device=sets.device, dtype=torch.double))
    permutation = torch.empty_like(order)
    permutation[torch.argsort(sets, stable=True)] = order
    return permutation


class LabelChannels(nn.Module):
    """A generator that knows no labels, with the label spread over the picture as further channels.

    Args:
        generator: takes `[N, 3 + K, H, W]`.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.multiple = getattr(generator, "multiple", 1)
        self.minimum = getattr(generator, "minimum", 1)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        spread = label[:, :, None, None].to(image).expand(-1, -1, image.shape[2], image.shape[3])
        result: Tensor = self.generator(torch.cat((image, spread), 1))
        return result


class MultiSetGenerator(nn.Module):
    """A generator trained on several data sets, asked by its K columns alone: the mask vector follows from them.

    It is that of the data set whose columns have the largest sum; the columns of the others are set to 0, for the
    generator never saw labels of two data sets at once. Of equal sums, and where all columns are 0, data sets of
    attributes come first, for there no attribute is a label too.

    Args:
        generator: takes a picture and `[N, K + n]`, see `with_mask_vector`.
        blocks: the columns of each of the n data sets.
        exclusive: of each data set, whether its columns exclude each other.
    """

    member: Tensor
    first: Tensor

    def __init__(self, generator: nn.Module, blocks: Sequence[slice], exclusive: Sequence[bool]) -> None:
        super().__init__()
        self.generator = generator
        member = torch.zeros(len(blocks), blocks[-1].stop)
        for row, block in zip(member, blocks, strict=True):
            row[block] = 1
        ranks = sorted(range(len(blocks)), key=lambda one: (exclusive[one], one))
        first = torch.tensor([-ranks.index(one) / 64 for one in range(len(blocks))])  # exact in half precision
        self.register_buffer("member", member, persistent=False)
        self.register_buffer("first", first, persistent=False)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        strength = domain @ self.member.T + self.first
        mask = (strength >= strength.amax(1, keepdim=True)).to(domain)
        result: Tensor = self.generator(image, torch.cat((domain * (mask @ self.member), mask), 1))
        return result


class DiscriminatorWithClassifier(nn.Module):
    """A discriminator that knows no domains, and beside it a classifier that does.

    StarGAN's discriminator does both with one trunk (section 3.1); here the two share no weights. The classifier is
    that trunk, with the mean over the places in front of its last layer.

    Args:
        discriminator: `[N, 3, H, W]` to scores.
        domains: logits of the classifier.
        size: smallest side of the pictures; there are five halvings, fewer below 32 px.
        features: channels of its first layer; they double at each halving, up to 8 * features.

    `[N, 3, H, W]` to the scores and the logits `[N, domains]`.
    """

    def __init__(self, discriminator: nn.Module, domains: int, size: int, features: int = 32) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.energy = getattr(discriminator, "energy", False)
        sequence: list[nn.Module] = []
        width = 3
        for i in range(min(5, size.bit_length() - 1)):
            wider = features * min(2**i, 8)
            sequence += [nn.Conv2d(width, wider, 4, 2, 1), nn.LeakyReLU(0.01)]
            width = wider
        self.classifier = nn.Sequential(*sequence, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, domains))

    def forward(self, image: Tensor) -> tuple[Tensor | list[Tensor], Tensor]:
        return self.discriminator(image), self.classifier(image)


class LogitRecorder:
    """The scores of a discriminator of (scores, domain logits), for a `Game`.

    Attributes:
        logits: those of each call, in order: `Game.discriminator_loss` asks for the real pictures first,
            `Game.generator_loss` for the generated ones last.
    """

    def __init__(self, discriminator: nn.Module) -> None:
        self.discriminator = discriminator
        self.logits: list[Tensor] = []

    def __call__(self, picture: Tensor) -> Tensor | list[Tensor]:
        scores: Tensor | list[Tensor]
        scores, logits = self.discriminator(picture)
        self.logits.append(logits)
        return scores


class ClassificationLoss:
    """The classification of every picture within the columns of its own data set.

    Args:
        blocks: the columns of each data set.
        exclusive: of each data set, whether its columns exclude each other.
    """

    def __init__(self, blocks: Sequence[slice], exclusive: Sequence[bool]) -> None:
        self.parts = [(block, DomainClassification(one)) for block, one in zip(blocks, exclusive, strict=True)]

    def __call__(self, logits: Tensor, label: Tensor, known: Tensor) -> Tensor:
        """Mean over the pictures, a scalar; all three `[N, K]`, see `DomainClassification.forward`."""
        costs = [part(logits[:, block], label[:, block], known[:, block]) for block, part in self.parts]
        return torch.stack(costs).sum()

    def recognised(self, logits: Tensor, column: int) -> Tensor:
        """Whether the logits `[N, K]` say that the pictures are of the domain `column`; bool `[N]`.

        Where columns exclude each other that is the highest logit of the data set; an attribute is there above 0.
        """
        block, part = next((b, p) for b, p in self.parts if b.start <= column < b.stop)
        return logits[:, block].argmax(1).eq(column - block.start) if part.exclusive else logits[:, column].gt(0)


def build_labelled_generator(config: GANConfig, labels: int, crop: int) -> nn.Module:
    """The generator that `config` names, as one of (picture -1..1 `[N, 3, H, W]`, label `[N, labels]`).

    Raises:
        ConfigError: it cannot be built, takes neither labels nor further channels, or makes no picture of the size of
            its input, tried with `crop` pixels.
    """
    wish = config.generator
    known = _options(wish.name)
    if "domains" in known:
        generator = config.build(wish, fixed={"inputs": 3, "domains": labels})
    elif {"inputs", "outputs"} <= known:
        advice = {"downs": UNet.depth(crop)} if wish.name == "unet" else {"size": crop, "output": "whole"}
        generator = LabelChannels(config.build(wish, fixed={"inputs": 3 + labels, "outputs": 3}, advice=advice))
    else:
        raise ConfigError(
            f"generator.name = {wish.name} takes neither labels nor further channels: use stargan, unet or resnet"
        )
    empty = torch.zeros(1, 3, crop, crop)
    result = _try_forward("generator", wish.name, generator, empty, torch.zeros(1, labels))
    if not isinstance(result, Tensor) or result.shape != empty.shape:
        raise ConfigError(f"generator.name = {wish.name}: its result is not a picture of the size of its input")
    return generator


def build_labelled_discriminator(config: GANConfig, domains: int, crop: int) -> nn.Module:
    """The discriminator that `config` names, as one from `[N, 3, crop, crop]` to (scores, logits `[N, domains]`).

    Raises:
        ConfigError: it cannot be built, or cannot judge pictures of `crop` pixels.
    """
    wish = config.discriminator
    if "domains" in _options(wish.name):
        halvings = min((crop & -crop).bit_length() - 1, PUBLISHED_HALVINGS)
        advice = {"size": crop, "layers": halvings}
        discriminator = config.build(wish, fixed={"inputs": 3, "domains": domains}, advice=advice)
    else:
        discriminator = DiscriminatorWithClassifier(
            config.build(wish, fixed={"inputs": 3}, advice={"size": crop}), domains, crop
        )
    _try_forward("discriminator", wish.name, discriminator, torch.zeros(1, 3, crop, crop))
    return discriminator


def _options(network: str) -> set[str]:
    return set(inspect.signature(lookup("network", networks.NETWORKS, network)).parameters)


@torch.no_grad()
def _try_forward(role: str, name: str, network: nn.Module, *given: Tensor) -> Any:
    """What the network, in eval mode, gives; a combination that cannot work is told before the first step."""
    try:
        return network.eval()(*given)
    except TypeError as error:
        raise ConfigError(f"{role}.name = {name} is no {role}") from error
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"{role}.name = {name} at data.crop = {given[0].shape[2]}: {error}") from error
    finally:
        network.train()
