"""Generators and discriminators: plain torch modules with the state-dict layouts of the official repositories.

`build("compact", features=48)` builds a network by name and imports only the module that defines it.
"""

import inspect
import warnings
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
    "latent-unet": "img2img.networks.latent_unet:LatentUNet",
    "resnet": "img2img.networks.resnet:ResNet",
    "stargan": "img2img.networks.stargan:StarGANGenerator",
    "unit": "img2img.networks.unit:UNITGenerator",
    "munit": "img2img.networks.munit:MUNITGenerator",
    "dtn-features": "img2img.networks.dtn:FeatureNetwork",
    "dtn-decoder": "img2img.networks.dtn:FeatureDecoder",
    "discogan": "img2img.networks.discogan:DiscoGANGenerator",
    "pix2pixhd": "img2img.networks.pix2pixhd:GlobalGenerator",
    "pix2pixhd-enhancer": "img2img.networks.local_enhancer:LocalEnhancer",
    "spade": "img2img.networks.spade:SPADEGenerator",
    "chroma-unet": "img2img.networks.chroma_unet:ChromaUNet",
    "context-encoder": "img2img.networks.context_encoder:ContextEncoder",
    "gated": "img2img.networks.gated:GatedGenerator",
    "patch-copying": "img2img.networks.patch_copying:PatchCopyingGenerator",
    # pictures from vectors, vectors from pictures, labels from pictures
    "vector-generator": "img2img.networks.vectors:VectorGenerator",
    "vector-encoder": "img2img.networks.vectors:VectorEncoder",
    "label-classifier": "img2img.networks.vectors:LabelClassifier",
    "vgg16": "img2img.networks.vgg16:VGG16",
    "inverted-vgg16": "img2img.networks.vgg16:InvertedVGG16",
    # discriminators
    "patchgan": "img2img.networks.patchgan:PatchGAN",
    "pixelgan": "img2img.networks.patchgan:PixelGAN",
    "multi-patchgan": "img2img.networks.multi_patchgan:MultiPatchGAN",
    "multi-scale": "img2img.networks.multi_scale:MultiScale",
    "munit-discriminator": "img2img.networks.munit_discriminator:MUNITDiscriminator",
    "stargan-discriminator": "img2img.networks.stargan:StarGANDiscriminator",
    "vgg-style": "img2img.networks.vgg_style:VGGStyle",
    "unet-discriminator": "img2img.networks.unet_discriminator:UNetDiscriminator",
    "sn-patchgan": "img2img.networks.sn_patchgan:SNPatchGAN",
    "projection": "img2img.networks.projection:ProjectionDiscriminator",
    "dcgan": "img2img.networks.context_encoder:DCGANDiscriminator",
    "auto-encoder": "img2img.networks.auto_encoder:AutoEncoder",
    # encoders
    "feature-encoder": "img2img.networks.feature_clusters:FeatureEncoder",
    "residual-encoder": "img2img.networks.residual_encoder:ResidualEncoder",
}

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}

MAX_OPTION = 16_384
"""Largest number in the options of a network. No network has so many features or layers."""

EAGER = "eager"
"""Attribute of networks that must not be compiled: compiled code has no second derivatives and does not run hooks."""


def build(name: str, **options: Any) -> nn.Module:
    """Build the network called `name`. `options` are its constructor's arguments.

    Raises:
        ConfigError: the name or an option is unknown; the message lists the known ones. Or an option without a default
            is missing, or the options do not fit.
    """
    network = lookup("network", NETWORKS, name)
    known = inspect.signature(network).parameters
    for option, value in options.items():
        if option not in known:
            raise ConfigError(f"network '{name}' has no option '{option}'; its options are {', '.join(known)}")
        kind = known[option].annotation
        if kind in _KINDS and (type(value) is not kind and (kind, type(value)) != (float, int)):
            raise ConfigError(f"network '{name}': {option} = {value} must be {_KINDS[kind]}")
        if kind is int and not 0 <= value <= MAX_OPTION:
            raise ConfigError(f"network '{name}': {option} = {value} must be from 0 to {MAX_OPTION}")
    missing = [option for option, one in known.items() if one.default is one.empty and option not in options]
    if missing:
        raise ConfigError(f"network '{name}' needs {', '.join(missing)}, which is not given here; use another network")
    given = ", ".join(f"{option} = {value}" for option, value in options.items())
    try:
        with warnings.catch_warnings(action="ignore"):  # about layers without channels, which are refused below
            built: nn.Module = network(**options)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"network '{name}' cannot be built with {given}; the numbers are too low or too high"
        ) from error
    if any(parameter.numel() == 0 for parameter in built.parameters()):
        raise ConfigError(f"network '{name}' has a layer without channels with {given}; choose higher numbers")
    return built


def has_option(name: str, option: str) -> bool:
    """Return whether the constructor of the network called `name` has the argument `option`.

    Raises:
        ConfigError: the name is unknown; the message lists the known ones.
    """
    return option in inspect.signature(lookup("network", NETWORKS, name)).parameters


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
