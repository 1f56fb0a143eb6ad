"""The typed configuration of a run. A method's recipe is a subclass whose defaults are the paper's.

Every field has a description; unknown keys are refused by name. `config.toml` of a run folder holds all of it.
"""

import copy
import difflib
import json
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator
from pydantic.config import JsonDict

from img2img.atomic import atomic
from img2img.errors import ConfigError
from img2img.methods.schema import json_schema
from img2img.networks import NETWORKS
from img2img.objectives import ADVERSARIAL, PENALTIES, RECONSTRUCTION
from img2img.section import NONE, Section, none_to_text


def _one_of(*tables: Iterable[str]) -> Callable[[JsonDict], None]:
    """Tell the JSON schema of a setting which names there are. Configurations are parsed without this check."""

    def add(schema: JsonDict) -> None:
        schema["enum"] = [name for table in tables for name in table]

    return add


def _name_objectives(schema: JsonDict) -> None:
    schema["properties"] = {name: {"type": "number", "minimum": 0} for name in RECONSTRUCTION}
    schema["additionalProperties"] = False


ObjectiveWeights = Annotated[dict[str, float], Field(json_schema_extra=_name_objectives)]
"""Reconstruction objective (`objectives.RECONSTRUCTION`) to its weight."""


class NetworkConfig(Section):
    name: str = Field(description="name of the network", json_schema_extra=_one_of(NETWORKS))
    options: dict[str, int | float | str | bool] = Field(default={}, description="arguments of its constructor")
    spectral: bool = Field(default=False, description="spectral norm on every convolution (Miyato et al. 2018)")


class OptimiserConfig(Section):
    name: Literal["adam", "adamw"] = Field(default="adam", description="optimiser")
    rate: PositiveFloat = Field(default=2e-4, description="learning rate at its highest")
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="Adam's averaging factors")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay")
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient; none: no clipping")


class ScheduleConfig(Section):
    shape: Literal["constant", "linear", "cosine", "multi-step"] = Field(
        default="cosine", description="how the learning rate falls"
    )
    warmup: NonNegativeInt = Field(default=0, description="steps of linear rise at the start")
    flat: float = Field(default=0.0, ge=0, le=1, description="share of the steps at the full rate, before it falls")
    floor: float = Field(default=0.0, ge=0, le=1, description="share of the rate that is left at the end")
    milestones: tuple[float, ...] = Field(
        default=(), description="multi-step: shares of the steps (0..1) after which the rate is multiplied with gamma"
    )
    gamma: float = Field(default=0.5, gt=0, le=1, description="multi-step: the factor")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if list(self.milestones) != sorted(self.milestones) or any(not 0 <= m <= 1 for m in self.milestones):
            raise ValueError(
                f"milestones = {list(self.milestones)} must rise from 0 to 1, they are shares of the steps"
            )
        if self.shape == "multi-step" and not self.milestones:
            raise ValueError("shape = multi-step needs milestones")
        return self


class AdversarialConfig(Section):
    """The game between generator and discriminator. The words are `objectives.ADVERSARIAL` and `PENALTIES`."""

    name: str = Field(description="adversarial objective", json_schema_extra=_one_of(ADVERSARIAL))
    weight: float = Field(default=1.0, ge=0, description="its weight in the generator's loss")
    options: dict[str, float | str | bool] = Field(default={}, description="arguments of the objective")
    penalty: str | None = Field(
        default=None,
        description="gradient penalty on the discriminator; none: the one that defines the objective",
        json_schema_extra=_one_of(PENALTIES, [NONE]),
    )
    penalty_weight: float = Field(default=10.0, ge=0, description="weight of the penalty")
    discriminator_steps: PositiveInt = Field(
        default=1, description="discriminator updates, each on a batch of its own, before each generator update"
    )


class MatchingConfig(Section):
    """Feature matching: the generator meets the discriminator's activations on real pictures (Salimans et al. 2016)."""

    weight: float = Field(default=0.0, ge=0, description="weight in the generator's loss; 0: off")
    kind: Literal["mean", "class-mean", "pairwise"] = Field(
        default="pairwise", description="what is matched: batch means, moving means of each class, picture by picture"
    )
    distance: Literal["l1", "l2"] = Field(default="l1", description="distance of the activations")
    layers: tuple[str, ...] = Field(default=(), description="discriminator layers; empty: all but the last")


class PerceptualConfig(Section):
    """Distance in the features of VGG19 (Johnson et al. 2016)."""

    weight: float = Field(
        default=0.0, ge=0, description="weight in the generator's loss; 0: off, and nothing is loaded"
    )
    layers: dict[str, float] = Field(
        default={"conv5_4": 1.0}, description="layer to weight; conv5_4 is before its ReLU, relu5_4 after it"
    )
    criterion: Literal["l1", "l2"] = Field(default="l1", description="distance of the features")
    weights: Path | None = Field(
        default=None, description="file with the weights of torchvision's vgg19; none: they are downloaded"
    )


class CardConfig(Section):
    name: str | None = Field(default=None, description="name in the exported model's card; none: the run folder's name")
    licence: str | None = Field(default=None, description="licence of the exported model")
    trained_on: tuple[str, ...] = Field(default=(), description="data sets; empty: the names of the data folders")


class RunConfig(Section):
    """What every method has. Rates, networks and objectives are chosen independently of each other."""

    method: str = Field(description="method")
    steps: PositiveInt = Field(default=1000, description="training steps (updates of the generator)")
    batch: PositiveInt = Field(default=16, description="items an update, over all processes")
    accumulate: PositiveInt = Field(
        default=1, description="parts that a batch is taken in, one after the other: less memory, the same gradients"
    )
    seed: NonNegativeInt = Field(default=0, description="seed of everything random")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="autocast type; auto: bf16 where the hardware multiplies it natively, else fp32"
    )
    channels_last: bool | None = Field(
        default=None, description="store tensors as NHWC; none: on a GPU, and not on a CPU"
    )
    compile: bool = Field(default=False, description="torch.compile the networks")
    workers: NonNegativeInt | None = Field(
        default=None, description="data loading processes; none: as many as a GPU needs, 0 on a CPU"
    )
    ema: float = Field(default=0.999, ge=0, lt=1, description="decay of the generator's moving average; 0: off")
    start: Path | None = Field(
        default=None,
        description="run folder, checkpoint, weights file, model file or installed model that the networks start from; "
        "a compact network may be larger than the one it starts from",
    )
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    log_every: PositiveInt = Field(default=50, description="steps between two lines of log.jsonl")
    validate_every: PositiveInt = Field(default=500, description="steps between two validations and contact sheets")
    checkpoint_every: PositiveInt = Field(default=500, description="steps between two checkpoints")
    keep: PositiveInt = Field(default=3, description="checkpoints kept beside the best one")
    card: CardConfig = CardConfig()

    @classmethod
    def of_stage(cls, values: dict[str, Any]) -> type[Self]:
        """The recipe of the stage that `values` name, for methods that are trained in stages."""
        return cls

    @classmethod
    def parse(cls, values: dict[str, Any], *, where: str) -> Self:
        """Validate `values`.

        Raises:
            ConfigError: a key is unknown or a value does not fit; every fault is named, with `where` it stands.
        """
        recipe = cls.of_stage(values)
        try:
            return recipe.model_validate(values)
        except ValidationError as error:
            faults = "; ".join(_fault(recipe, values, fault) for fault in error.errors())
            raise ConfigError(f"{where}: {faults}") from error

    @classmethod
    def with_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`values` with the recipe's defaults for what they leave out, section by section; not yet validated.

        Without this, a section given in part would take the section's own defaults and not the recipe's.
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
                    default.pop("options", None)  # they are another network's
                filled[name] = default | copy.deepcopy(given)
        return filled

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a `config.toml`.

        Raises:
            ConfigError: the file cannot be read or does not fit.
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
    """Put `--set` assignments such as `optimiser.rate=1e-3` into nested `values`; right sides are TOML, or text.

    Raises:
        ConfigError: an assignment has no `=`, or goes below a key that is no section.
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
        if last == "name" and place.get("options") and value != place.get("name"):
            place["options"] = {}  # they are another network's
        place[last] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _fault(model: type[BaseModel], values: Any, fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        message = str(fault["msg"]).removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    *sections, key = fault["loc"]
    for section in sections:
        model = _section(model, str(section))
    near = difflib.get_close_matches(str(key), model.model_fields, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(model.model_fields)}"
    return f"unknown key '{where}'; {hint}"


def _section(model: type[BaseModel], name: str) -> type[BaseModel]:
    annotation = model.model_fields[name].annotation
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
