"""Generators and discriminators: plain torch modules with the state-dict layouts of the official repositories.

`build("compact", features=48)` builds a network by name and imports only the module that defines it.
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
"""Attribute of networks that must not be compiled: compiled code has no second derivatives and does not run hooks."""


def build(name: str, **options: Any) -> nn.Module:
    """Build the network called `name`. `options` are its constructor's arguments.

    Raises:
        ConfigError: the name or an option is unknown; the message lists the known ones.
    """
    network = lookup("network", NETWORKS, name)
    known = list(inspect.signature(network).parameters)
    for option in options:
        if option not in known:
            raise ConfigError(f"network '{name}' has no option '{option}'; its options are {', '.join(known)}")
    built: nn.Module = network(**options)
    return built


class NetworkSpec(Protocol):
    """The part of a configuration that describes a network (`methods.config.NetworkConfig`)."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def spectral(self) -> bool: ...


def build_from_spec(spec: NetworkSpec, *, scheme: str = "none", gain: float = 0.02, **fixed: Any) -> nn.Module:
    """Build the network that `spec` describes, initialise it and add spectral norm if `spec` asks for it.

    Args:
        scheme, gain: see `initialise.initialise`.
        fixed: constructor arguments that the data or the method determines (channels, size, domains).

    Raises:
        ConfigError: see `build`; or an option of `spec` contradicts `fixed`.
    """
    from img2img.networks.initialise import initialise
    from img2img.networks.spectral import add_spectral_norm

    for option, value in fixed.items():
        if spec.options.get(option, value) != value:
            raise ConfigError(f"network '{spec.name}': {option} = {spec.options[option]}, but it must be {value} here")
    network = initialise(build(spec.name, **{**spec.options, **fixed}), scheme, gain)
    return add_spectral_norm(network) if spec.spectral else network
