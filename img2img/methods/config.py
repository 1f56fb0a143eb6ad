"""The typed configuration of a training run. A recipe is a subclass with the defaults of its paper.

Every setting has a description. Unknown keys are errors. The `config.toml` of a run folder holds every setting.
"""

import copy
import json
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator
from pydantic.config import JsonDict

from img2img.atomic import atomic
from img2img.data.ranges import BatchSize, Count, Steps
from img2img.errors import ConfigError
from img2img.methods import faults
from img2img.methods.schema import json_schema
from img2img.networks import NETWORKS
from img2img.objectives import ADVERSARIAL, PENALTIES, RECONSTRUCTION
from img2img.section import NONE, Section, none_to_text


def _one_of(*tables: Iterable[str]) -> Callable[[JsonDict], None]:
    """Add the names in `tables` to the JSON schema of a setting. Parsing does not check them; `build` does."""

    def add(schema: JsonDict) -> None:
        schema["enum"] = [name for table in tables for name in table]

    return add


def _name_objectives(schema: JsonDict) -> None:
    schema["properties"] = {name: {"type": "number", "minimum": 0} for name in RECONSTRUCTION}
    schema["additionalProperties"] = False


ObjectiveWeights = Annotated[dict[str, float], Field(json_schema_extra=_name_objectives)]
"""Name of a reconstruction objective (`objectives.RECONSTRUCTION`) to its weight."""


class NetworkConfig(Section):
    """A network and its options."""

    name: str = Field(description="network", json_schema_extra=_one_of(NETWORKS))
    options: dict[str, int | float | str | bool] = Field(default={}, description="constructor arguments")
    spectral: bool = Field(default=False, description="spectral norm on every convolution (Miyato et al. 2018)")


class OptimiserConfig(Section):
    """Optimiser and learning rate."""

    name: Literal["adam", "adamw", "rmsprop", "sgd"] = Field(default="adam", description="optimiser")
    rate: PositiveFloat = Field(default=2e-4, description="peak learning rate")
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="adam and adamw: betas")
    decay: float = Field(default=0.9, ge=0, lt=1, description="rmsprop: decay of the mean squared gradient")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="rmsprop and sgd: momentum")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay")
    clip: float | None = Field(default=None, gt=0, description="maximum gradient norm; none: no clipping")


class ScheduleConfig(Section):
    """Schedule of the learning rate."""

    shape: Literal["constant", "linear", "cosine", "multi-step"] = Field(
        default="cosine", description="shape of the decay"
    )
    warmup: NonNegativeInt = Field(default=0, description="warm-up steps, during which the rate rises linearly")
    flat: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="linear and cosine: fraction of the steps at the full rate, before the decay",
    )
    floor: float = Field(
        default=0.0, ge=0, le=1, description="linear and cosine: final rate, as a fraction of the peak rate"
    )
    milestones: tuple[float, ...] = Field(
        default=(), description="multi-step: fractions of the steps (0..1) at which the rate is multiplied by gamma"
    )
    gamma: float = Field(default=0.5, gt=0, le=1, description="multi-step: factor at each milestone")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if list(self.milestones) != sorted(self.milestones) or any(not 0 <= m <= 1 for m in self.milestones):
            raise ValueError(
                f"milestones = {list(self.milestones)} must rise from 0 to 1: they are fractions of the steps"
            )
        if self.shape == "multi-step" and not self.milestones:
            raise ValueError("shape = multi-step needs milestones")
        return self


class AdversarialConfig(Section):
    """Adversarial objective, gradient penalty and pulling-away term."""

    name: str = Field(description="adversarial objective", json_schema_extra=_one_of(ADVERSARIAL))
    weight: float = Field(
        default=1.0, ge=0, description="weight in the generator's loss, a sum over the scales of the discriminator"
    )
    options: dict[str, float | str | bool] = Field(default={}, description="arguments of the objective")
    penalty: str | None = Field(
        default=None,
        description="gradient penalty on the discriminator; none: the one that defines the objective, if any",
        json_schema_extra=_one_of(PENALTIES, [NONE]),
    )
    penalty_weight: float = Field(default=10.0, ge=0, description="weight of the penalty")
    pulling_away: float = Field(
        default=0.0,
        ge=0,
        description="weight of EBGAN's pulling-away term in the generator's loss, on the codes of an auto-encoder as "
        "discriminator (Zhao et al. 2017, equation 4; there 0.1); 0: off",
    )
    discriminator_steps: int = Field(
        default=1, ge=1, le=100, description="discriminator updates per generator update, each on its own batch"
    )


class MatchingConfig(Section):
    """Feature matching: the distance between the discriminator's activations on generated and on real pictures
    (Salimans et al. 2016).
    """

    weight: float = Field(
        default=0.0,
        ge=0,
        description="weight in the generator's loss; 0: off. The loss is a sum over the layers and a mean over the "
        "scales, as in pix2pixHD",
    )
    kind: Literal["mean", "class-mean", "pairwise", "centres"] = Field(
        default="pairwise",
        description="what to match: batch means (mean), moving means per class (class-mean), each result with its "
        "truth (pairwise), or moving means of real and of generated pictures (centres: FM-CGAN)",
    )
    reduction: Literal["mean", "half-sum"] = Field(
        default="mean",
        description="mean over the values of a layer, or half their sum (Bao et al. 2017, CVAE-GAN). For an 8x8x512 "
        "layer the latter is 16384 times as much",
    )
    distance: Literal["l1", "l2"] = Field(default="l1", description="distance between activations")
    layers: tuple[str, ...] = Field(default=(), description="discriminator layers; empty: all but the last")


class PerceptualConfig(Section):
    """Perceptual distance: the distance between VGG19 features (Johnson et al. 2016)."""

    weight: float = Field(
        default=0.0, ge=0, description="weight in the generator's loss; 0: off, and VGG19 is not loaded"
    )
    layers: dict[str, float] = Field(
        default={"conv5_4": 1.0}, description="layer to weight; conv5_4 is before its ReLU, relu5_4 after it"
    )
    criterion: Literal["l1", "l2"] = Field(default="l1", description="distance between features")
    weights: Path | None = Field(default=None, description="weights file of torchvision's vgg19; none: download it")


class CardConfig(Section):
    """Card of the exported model."""

    name: str | None = Field(default=None, description="model name; none: chosen by the method, such as upscale-x4")
    licence: str | None = Field(default=None, description="licence of the model")
    trained_on: tuple[str, ...] = Field(
        default=(), description="names of the data sets; empty: names of the data folders"
    )


class RunConfig(Section):
    """Settings that all methods share. Learning rates, networks and objectives can be combined freely."""

    method: str = Field(description="method")
    steps: Steps = Field(default=1000, description="training steps (generator updates)")
    batch: BatchSize = Field(default=16, description="items per update, over all processes")
    accumulate: PositiveInt = Field(
        default=1,
        description="parts that each batch is split into; more parts need less memory and give the same gradients",
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="random seed")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="autocast type; auto: bf16 if the hardware supports it natively, else fp32"
    )
    channels_last: bool | None = Field(default=None, description="NHWC memory layout; none: only on a GPU")
    compile: bool = Field(default=False, description="compile the networks with torch.compile")
    workers: int | None = Field(
        default=None, ge=0, le=256, description="data loading processes; none: 8 on a GPU, 0 on a CPU"
    )
    ema: float = Field(default=0.999, ge=0, lt=1, description="decay of the generator's moving average; 0: off")
    start: Path | None = Field(
        default=None,
        description="initial weights: a run folder, checkpoint, weights file, model file or installed model; a compact "
        "network may be larger than the one it starts from",
    )
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    log_every: Steps = Field(default=50, description="steps between log lines in log.jsonl")
    validate_every: Steps = Field(
        default=500, description="steps between validations, which also write a contact sheet"
    )
    validate_pictures: Count = Field(
        default=50,
        description="held-out pictures of a validation at most (of each side, if there are two; stargan: each is "
        "translated into every domain). A method may use fewer. `img2img evaluate` measures all",
    )
    checkpoint_every: Steps = Field(default=500, description="steps between checkpoints")
    keep: Steps = Field(default=3, description="recent checkpoints to keep in addition to the best one")
    card: CardConfig = CardConfig()

    @property
    def batch_of_a_part(self) -> int:
        """Items, of one side where data has two, that a loss sees at once."""
        return self.batch // self.accumulate

    @classmethod
    def of_stage(cls, values: dict[str, Any]) -> type[Self]:
        """Return the recipe of the stage in `values`, for methods that train in stages."""
        return cls

    @classmethod
    def parse(cls, values: dict[str, Any], *, where: str) -> Self:
        """Validate `values`.

        Args:
            where: where the values come from, for messages.

        Raises:
            ConfigError: a key is unknown or a value is invalid. The message describes the first faults.
        """
        recipe = cls.of_stage(values)
        try:
            return recipe.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{where}: {faults.describe(recipe, error)}") from error

    @classmethod
    def with_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return `values`, completed section by section with the recipe's defaults. The result is not validated.

        Validation alone would complete a section with the defaults of its class instead of the recipe's.
        """
        filled = copy.deepcopy(values)
        for name, field in cls.of_stage(values).model_fields.items():
            if not isinstance(field.default, BaseModel):
                if not field.is_required():
                    filled.setdefault(name, copy.deepcopy(field.default))
            elif isinstance(values.get(name, {}), dict):
                default = field.default.model_dump()
                given = values.get(name, {})
                if given.get("name", default.get("name")) != default.get("name"):
                    default.pop("options", None)  # they belong to another network
                filled[name] = default | copy.deepcopy(given)
        return filled

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a `config.toml`.

        Raises:
            ConfigError: the file cannot be read or is invalid.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as a configuration: {error}") from error
        return cls.parse(values, where=str(path))

    def save(self, path: Path) -> None:
        """Write every setting as TOML, and beside it the JSON schema with which editors check the file.

        Raises:
            PictureError, OSError: a file cannot be written.
        """
        import tomli_w

        schema = path.with_name(f"{path.stem}.schema.json")
        with atomic(schema) as file:
            file.write((json.dumps(json_schema(type(self)), indent=2) + "\n").encode())
        settings = tomli_w.dumps(none_to_text(self.model_dump(mode="json")))
        with atomic(path) as file:
            file.write(f"#:schema ./{schema.name}\n\n{settings}".encode())


def assign(values: dict[str, Any], assignments: list[str]) -> None:
    """Apply `--set` assignments such as `optimiser.rate=1e-3` to the nested `values`.

    The right-hand side is TOML. If it is not valid TOML, it is taken as text.

    Raises:
        ConfigError: an assignment has no `=`, or uses a value as a section or a section as a value.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {assignment}: write KEY=VALUE, for example --set optimiser.rate=1e-3")
        *sections, last = key.strip().split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {assignment}: '{section}' is a value, not a section")
        value = _value(text.strip())
        if isinstance(place.get(last), dict) and not isinstance(value, dict):
            one = f"{key.strip()}.{next(iter(place[last]), 'KEY')}"
            raise ConfigError(f"--set {assignment}: '{key.strip()}' is a section; set one of its keys, such as {one}")
        if last == "name" and place.get("options") and value != place.get("name"):
            place["options"] = {}  # they belong to another network
        place[last] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
