"""Generators and discriminators: plain torch modules with the state-dict layouts of the official repositories.

A network is built by its name, `build("compact", features=48)`; only the module that holds it is imported.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from img2img.errors import ConfigError
from img2img.lookup import lookup

NETWORKS = {
    # super-resolution generators, RGB 0..1
    "compact": "img2img.networks.compact:Compact",
    "collapsible-compact": "img2img.networks.collapsible:CollapsibleCompact",
    "collapsible-residual": "img2img.networks.residual:CollapsibleResidual",
    "rrdb": "img2img.networks.rrdb:RRDBNet",
    "srresnet": "img2img.networks.srresnet:SRResNet",
    # translation and inpainting generators, values -1..1
    "unet": "img2img.networks.unet:UNet",
    "resnet": "img2img.networks.resnet:ResNet",
    "stargan": "img2img.networks.stargan:StarGANGenerator",
    "pix2pixhd": "img2img.networks.pix2pixhd:GlobalGenerator",
    "context-encoder": "img2img.networks.context_encoder:ContextEncoder",
    "gated": "img2img.networks.gated:GatedGenerator",
    # discriminators
    "patchgan": "img2img.networks.patchgan:PatchGAN",
    "pixelgan": "img2img.networks.patchgan:PixelGAN",
    "multi-scale": "img2img.networks.multi_scale:MultiScale",
    "stargan-discriminator": "img2img.networks.stargan:StarGANDiscriminator",
    "vgg-style": "img2img.networks.vgg_style:VGGStyle",
    "unet-discriminator": "img2img.networks.unet_discriminator:UNetDiscriminator",
    "sn-patchgan": "img2img.networks.sn_patchgan:SNPatchGAN",
    "dcgan": "img2img.networks.context_encoder:DCGANDiscriminator",
    "auto-encoder": "img2img.networks.auto_encoder:AutoEncoder",
}

EAGER = "eager"
"""Attribute of networks that are not to be compiled: compiled code has no second derivatives and runs no hooks."""


def build(name: str, **options: Any) -> nn.Module:
    """Build the network called `name`; `options` are its constructor's arguments.

    Raises:
        ConfigError: the name or an option is unknown; the message lists those that exist.
    """
    network = lookup("network", NETWORKS, name)
    known = list(inspect.signature(network).parameters)
    for option in options:
        if option not in known:
            raise ConfigError(f"network '{name}' has no option '{option}'; it has {', '.join(known)}")
    built: nn.Module = network(**options)
    return built


class Wish(Protocol):
    """What a section of a configuration says of a network (`methods.config.NetworkConfig`)."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def spectral(self) -> bool: ...


def configured(wish: Wish, *, how: str = "none", gain: float = 0.02, **fixed: Any) -> nn.Module:
    """Build the network that `wish` names, initialise it, and put it under spectral norm where that is wanted.

    Args:
        how, gain: as for `initialise.initialise`.
        fixed: arguments of the constructor that follow from the data or the method (channels, size, domains).

    Raises:
        ConfigError: as for `build`, or an option contradicts what is fixed.
    """
    from img2img.networks.initialise import initialise
    from img2img.networks.spectral import spectral

    for option, value in fixed.items():
        if wish.options.get(option, value) != value:
            raise ConfigError(f"network '{wish.name}': {option} = {wish.options[option]}, but here it must be {value}")
    network = initialise(build(wish.name, **{**wish.options, **fixed}), how, gain)
    return spectral(network) if wish.spectral else network
