"""Labels for translation between many domains: how networks receive them, and adapters for networks without them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img import networks
from img2img.errors import ConfigError
from img2img.lookup import lookup
from img2img.methods.gan import GANConfig
from img2img.networks.planes import append_planes
from img2img.networks.unet import UNet
from img2img.objectives.classification import DomainClassification

PUBLISHED_HALVINGS = 6
"""Halvings in StarGAN's discriminator (table 5)."""


def with_mask_vector(label: Tensor, sets: Tensor, count: int) -> Tensor:
    """Return the label input of the generator: the labels of all data sets and, if there are several, the mask vector.

    Choi et al. 2018, equation 7: [c_1, ..., c_n, m]. m is one-hot over the data sets; the labels of the others are 0.

    Args:
        label: `[N, K]`, 0 in the columns of other data sets.
        sets: int64 `[N]`, the data set of each picture.
        count: number of data sets, n.

    Returns:
        `[N, K]` for one data set, `[N, K + n]` for several.
    """
    if count == 1:
        return label
    return torch.cat((label, F.one_hot(sets, count).to(label)), 1)


def permute_within_sets(sets: Tensor) -> Tensor:
    """Return a random permutation, int64 `[N]`, that moves pictures within their data set only.

    Args:
        sets: int64 `[N]`, the data set of each picture.
    """
    order = torch.argsort(sets.double() + torch.rand(len(sets), device=sets.device, dtype=torch.double))
    permutation = torch.empty_like(order)
    permutation[torch.argsort(sets, stable=True)] = order
    return permutation


class LabelChannels(nn.Module):
    """A generator without a label input. The label becomes constant extra channels of the picture.

    Args:
        generator: takes `[N, 3 + K, H, W]`.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.multiple = getattr(generator, "multiple", 1)
        self.minimum = getattr(generator, "minimum", 1)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        result: Tensor = self.generator(append_planes(image, label))
        return result


class MultiSetGenerator(nn.Module):
    """A generator trained on several data sets, which takes the K label columns only.

    The mask vector follows from the labels. It selects the data set whose columns have the largest sum, and sets the
    columns of the others to 0, because the generator never saw labels of two data sets at once. If sums are equal, and
    if all columns are 0, data sets of attributes come first, because for those no attribute is a label too.

    Args:
        generator: takes a picture and `[N, K + n]`, see `with_mask_vector`.
        blocks: the columns of each of the n data sets.
        exclusive: for each data set, whether its columns exclude each other.
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
    """A discriminator without domain outputs, beside a domain classifier.

    StarGAN's discriminator has one trunk for both (section 3.1). Here the two share no weights. The classifier is that
    trunk, with global average pooling before its last layer. Returns scores and logits `[N, domains]`.

    Args:
        discriminator: from `[N, 3, H, W]` to scores.
        domains: number of logits.
        size: smallest side of the pictures. There are five halvings, fewer below 32 px.
        features: channels of the first layer. They double at each halving, up to 8 * features.

    Attributes:
        classifier_parts: the parts that only the classification uses.
    """

    classifier_parts = ("classifier",)

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
    """The scores of a discriminator that returns (scores, domain logits), for an `AdversarialLoss`.

    If it `projects`, as a `ProjectionDiscriminator` does, the score of a picture with a label is the first output plus
    the logits of that label.

    Args:
        labels: `[N, K]`, the labels of the pictures of the first call, of the second, and so on; the last one is also
            that of further calls.

    Attributes:
        logits: the logits of each call, in order. `discriminator_loss` passes the real pictures first, `generator_loss`
            the generated ones last.
    """

    def __init__(self, discriminator: Callable[[Tensor], Any], labels: Sequence[Tensor] = ()) -> None:
        self.discriminator = discriminator
        self.labels = labels if getattr(discriminator, "projects", False) else ()
        self.logits: list[Tensor] = []

    def __call__(self, picture: Tensor) -> Tensor | list[Tensor]:
        scores: Tensor | list[Tensor]
        scores, logits = self.discriminator(picture)
        if self.labels:
            label = self.labels[min(len(self.logits), len(self.labels) - 1)]
            scores = scores + (label.to(logits) * logits).sum(1, keepdim=True)
        self.logits.append(logits)
        return scores


class ClassificationLoss:
    """The classification loss of each picture, within the columns of its own data set.

    Args:
        blocks: the columns of each data set.
        exclusive: for each data set, whether its columns exclude each other.
    """

    def __init__(self, blocks: Sequence[slice], exclusive: Sequence[bool]) -> None:
        self.parts = [(block, DomainClassification(one)) for block, one in zip(blocks, exclusive, strict=True)]

    def __call__(self, logits: Tensor, label: Tensor, known: Tensor) -> Tensor:
        """Return the mean over the pictures. All arguments are `[N, K]`, see `DomainClassification.forward`."""
        costs = [part(logits[:, block], label[:, block], known[:, block]) for block, part in self.parts]
        return torch.stack(costs).sum()

    def recognised(self, logits: Tensor, column: int) -> Tensor:
        """Return whether the logits `[N, K]` assign the pictures to the domain `column`, bool `[N]`.

        If columns exclude each other, its logit must be the highest of the data set. An attribute must be above 0.
        """
        block, part = next((b, p) for b, p in self.parts if b.start <= column < b.stop)
        return logits[:, block].argmax(1).eq(column - block.start) if part.exclusive else logits[:, column].gt(0)


def build_labelled_generator(config: GANConfig, labels: int, crop: int) -> nn.Module:
    """Build the generator of `config`, which takes a picture in -1..1 `[N, 3, H, W]` and a label `[N, labels]`.

    Raises:
        ConfigError: it cannot be built, takes neither labels nor extra channels, or does not return a picture of the
            size of its input, tried with `crop` pixels.
    """
    network_config = config.generator
    known = _arguments(network_config.name)
    if "domains" in known:
        generator = config.build(network_config, fixed={"inputs": 3, "domains": labels})
    elif {"inputs", "outputs"} <= known:
        defaults = {"downs": UNet.depth(crop)} if network_config.name == "unet" else {"size": crop, "output": "whole"}
        generator = LabelChannels(
            config.build(network_config, fixed={"inputs": 3 + labels, "outputs": 3}, defaults=defaults)
        )
    else:
        raise ConfigError(
            f"generator.name = {network_config.name} takes neither labels nor extra channels: "
            "use stargan, unet or resnet"
        )
    empty = torch.zeros(1, 3, crop, crop)
    result = _try_forward("generator", network_config.name, generator, empty, torch.zeros(1, labels))
    if not isinstance(result, Tensor) or result.shape != empty.shape:
        raise ConfigError(f"generator.name = {network_config.name}: its result does not have the size of its input")
    return generator


def build_labelled_discriminator(config: GANConfig, domains: int, crop: int) -> nn.Module:
    """Build the discriminator of `config`, from `[N, 3, crop, crop]` to scores and logits `[N, domains]`.

    Raises:
        ConfigError: it cannot be built, or does not take pictures of `crop` pixels.
    """
    network_config = config.discriminator
    if "domains" in _arguments(network_config.name):
        times_divisible_by_2 = (crop & -crop).bit_length() - 1
        halvings = min(times_divisible_by_2, PUBLISHED_HALVINGS)
        defaults = {"size": crop, "layers": halvings}
        discriminator = config.build(network_config, fixed={"inputs": 3, "domains": domains}, defaults=defaults)
    elif network_config.options.get("classes"):
        fixed = {"inputs": 3, "classes": domains}
        discriminator = config.build(network_config, fixed=fixed, defaults={"size": crop})
    else:
        discriminator = DiscriminatorWithClassifier(
            config.build(network_config, fixed={"inputs": 3}, defaults={"size": crop}), domains, crop
        )
    _try_forward("discriminator", network_config.name, discriminator, torch.zeros(1, 3, crop, crop))
    return discriminator


def _arguments(network: str) -> set[str]:
    return set(inspect.signature(lookup("network", networks.NETWORKS, network)).parameters)


@torch.no_grad()
def _try_forward(role: str, name: str, network: nn.Module, *given: Tensor) -> Any:
    """Run the network once in eval mode, so that a combination that cannot work fails before the first step."""
    try:
        return network.eval()(*given)
    except TypeError as error:
        raise ConfigError(f"{role}.name = {name} is not a {role}") from error
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"{role}.name = {name} at data.crop = {given[0].shape[2]}: {error}") from error
    finally:
        network.train()
