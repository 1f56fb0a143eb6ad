"""The residual generator of CycleGAN: two halvings, residual blocks, two doublings."""

from torch import Tensor, nn

from img2img.networks.attention import SelfAttention
from img2img.networks.blur_pool import BlurPool
from img2img.networks.growing import Growth
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling_layer


class ResNetBlock(nn.Module):
    """conv - norm - ReLU - (dropout) - conv - norm, added to the input. Keeps the shape `[N, features, H, W]`."""

    def __init__(self, features: int, *, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = needs_bias(norm)
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(features, features, 3, bias=bias),
            norm_layer(norm, features),
            nn.ReLU(),
        ]
        if dropout:
            layers.append(nn.Dropout(0.5))
        layers += [
            nn.ReflectionPad2d(1),
            nn.Conv2d(features, features, 3, bias=bias),
            norm_layer(norm, features),
        ]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, hidden: Tensor) -> Tensor:
        residual: Tensor = self.conv_block(hidden)
        return hidden + residual


class ResNet(nn.Module):
    """CycleGAN's residual generator.

    Zhu et al. 2017 (CycleGAN), appendix 7.2, after Johnson et al. 2016, in the layout of `ResnetGenerator` (repository
    junyanz/pytorch-CycleGAN-and-pix2pix, `networks.py`).

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels at full size; twice and four times as many at the smaller sizes.
        blocks: residual blocks. The paper has 9 for 256 px and more, 6 for 128 px.
        norm: "batch", "instance", "layer" or "none".
        dropout: 50 % dropout inside every block. It shifts the keys after it by one.
        upsampling: "transpose" or "resize".
        blur: halve with `BlurPool` and double with bilinear interpolation, next to convolutions with stride 1, as in
            CUT (Park et al. 2020). It replaces `upsampling` and shifts the keys.
        attention: self-attention (Zhang et al. 2019) after the residual blocks, at a quarter of the size. It shifts the
            keys after it by one. Memory grows with the square of the pixels: 64 MiB for 256 px, 16 GiB for 1024 px.
        growing: fractions of the training at which the sides double, see the setting `growing` of a method. Adds layers
            `growth.*`, which a fully grown network does not use.

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of 4, at least 8; output `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.
        encoder_layers: the layers whose features CUT compares, in the order in which they run: the padded picture, both
            halving convolutions, the first and the fifth block (Park et al. 2020, appendix C.2).

    Raises:
        ConfigError: a norm or upsampling is unknown.
    """

    multiple = 4
    minimum = 8
    """At a quarter of the size, reflection padding by one pixel needs two pixels, and a norm needs more than one."""

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 64,
        blocks: int = 9,
        norm: str = "instance",
        dropout: bool = False,
        upsampling: str = "transpose",
        blur: bool = False,
        attention: bool = False,
        growing: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, features, 7, bias=bias)]
        layers += [norm_layer(norm, features), nn.ReLU()]
        self.entries, exits = [0], []
        for width in (features, 2 * features):
            layers.append(nn.Conv2d(width, 2 * width, 3, 1 if blur else 2, 1, bias=bias))
            layers += [norm_layer(norm, 2 * width), nn.ReLU()]
            layers += [BlurPool(2 * width)] if blur else []
            self.entries.append(len(layers))
        halving = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)][1:]
        chosen = [0, *halving, *(len(layers) + number for number in (0, 4) if number < blocks)]
        self.encoder_layers = tuple(f"model.{place}" for place in chosen)
        layers += [ResNetBlock(4 * features, norm=norm, dropout=dropout) for _ in range(blocks)]
        layers += [SelfAttention(4 * features)] if attention else []
        for width in (2 * features, features):
            exits.append(len(layers))
            if blur:
                layers += [
                    nn.Upsample(scale_factor=2, mode="bilinear"),
                    nn.Conv2d(2 * width, width, 3, 1, 1, bias=bias),
                ]
            else:
                layers.append(upsampling_layer(upsampling, 2 * width, width, kernel=3, bias=bias))
            layers += [norm_layer(norm, width), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(features, outputs, 7), nn.Tanh()]
        self.exits = [len(layers), *reversed(exits)]
        self.model = nn.Sequential(*layers)
        widths = (features, 2 * features, 4 * features)
        self.growth = Growth("resnet", growing, inputs, widths, (outputs, widths)) if growing else None

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "resnet", multiple=self.multiple, minimum=self.minimum)
        if self.growth is not None and self.growth.missing():
            return self._growing(self.growth, image)
        result: Tensor = self.model(image)
        return result

    def _growing(self, growth: Growth, image: Tensor) -> Tensor:
        def descend(level: int, features: Tensor) -> Tensor:
            lower: Tensor = self.model[self.entries[level] : self.entries[level + 1]](features)
            return lower

        level, share, _, features = growth.encode(image, descend)
        features = self.model[self.entries[level] : self.exits[level]](features)
        return growth.decode(
            level, share, features, lambda: self.model[self.exits[level] : self.exits[level - 1]](features)
        )
