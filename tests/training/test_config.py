import math
from pathlib import Path

import pytest

from img2img import methods, networks, objectives
from img2img.errors import ConfigError
from img2img.methods.config import ScheduleConfig, assign
from img2img.methods.esrgan import Config
from img2img.training.schedule import factor

DATA = {"data": {"folders": ["photos"]}}


def resolved(*assignments: str) -> Config:
    values = Config.with_defaults(DATA)
    assign(values, list(assignments))
    return Config.parse(values, where="settings")


def test_set_changes_one_key_and_keeps_the_others() -> None:
    config = resolved("optimiser.betas=[0.5, 0.999]", "generator.options.features=16", "card.name=mine")
    assert config.optimiser.betas == (0.5, 0.999)
    assert config.optimiser.rate == resolved().optimiser.rate
    assert config.generator.options == {**resolved().generator.options, "features": 16}
    assert config.card.name == "mine"


def test_a_new_network_does_not_inherit_the_old_ones_options() -> None:
    assert resolved("generator.name=srresnet").generator.options == {}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optimiser.rat=1", r"unknown key 'optimiser\.rat'; did you mean 'rate'"),
        ("step=1", r"unknown key 'step'; did you mean 'steps'"),
        ("colour=1", r"unknown key 'colour'; there are method, steps"),
        ("optimiser.rate=-1", r"optimiser\.rate: .*greater than 0"),
        ("data.crop=161", r"not a multiple of scale"),
        ("steps", r"write KEY=VALUE"),
        ("steps.more=1", r"'steps' is a value"),
        ("data=5", r"'data' is a section; set one of its keys, such as data\.folders"),
        ("batch=1e9", r"batch: must be at most 65536, not 1000000000\.0"),
        ("batch=many", r"batch: must be a whole number, not 'many'"),
        ("optimiser.rate=inf", r"optimiser\.rate: must be a finite number, not inf"),
        ("precision=8", r"precision: must be 'auto', 'fp32', 'bf16' or 'fp16', not 8"),
        ("generator.options.features=[1]", r"features: must be a number, text or true or false, not \[1\]"),
        ("optimiser.betas=3", r"betas: must be a list"),
        ("channels_last=7", r"channels_last: must be true or false, not 7"),
    ],
)
def test_invalid_settings_are_named(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolved(assignment)


def test_a_saved_configuration_is_read_back_equal(tmp_path: Path) -> None:
    config = resolved("optimiser.clip=0.5", "steps=7")
    config.save(tmp_path / "config.toml")
    assert Config.load(tmp_path / "config.toml") == config


def test_an_unknown_name_lists_the_known_ones() -> None:
    for build in (methods.find, networks.build, objectives.build):
        with pytest.raises(ConfigError, match=r"unknown .* 'nonsense'; choose from"):
            build("nonsense")
    with pytest.raises(ConfigError, match="network 'compact' has no option 'width'; its options are scale, features"):
        networks.build("compact", width=3)


def test_cosine_rises_falls_and_ends_at_its_floor() -> None:
    config = ScheduleConfig(shape="cosine", warmup=10, floor=0.1)
    rates = [factor(config, step, 110) for step in range(111)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1)
    assert rates[60] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[110] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_constant_schedule_does_not_change() -> None:
    assert factor(ScheduleConfig(shape="constant"), 10**6, 1) == 1


def test_linear_is_flat_and_then_falls_to_0() -> None:
    config = ScheduleConfig(shape="linear", flat=0.5)
    assert [factor(config, step, 100) for step in (0, 50, 75, 100)] == pytest.approx([1, 1, 0.5, 0])


def test_multi_step_halves_at_each_milestone() -> None:
    config = ScheduleConfig(shape="multi-step", milestones=(0.125, 0.25, 0.5, 0.75))
    assert [factor(config, step, 400) for step in (0, 49, 50, 100, 200, 399)] == [1, 1, 0.5, 0.25, 0.125, 0.0625]


def test_milestones_must_rise() -> None:
    with pytest.raises(ConfigError, match="must rise from 0 to 1"):
        resolved("schedule.shape=multi-step", "schedule.milestones=[0.5, 0.2]")


def test_none_stands_for_a_missing_value(tmp_path: Path) -> None:
    config = resolved("optimiser.clip=none", "card.licence=none")
    assert config.optimiser.clip is None and Config.parse(Config.with_defaults(DATA), where="x").optimiser.clip == 0.5
    config.save(tmp_path / "config.toml")
    assert Config.load(tmp_path / "config.toml") == config


def test_none_is_ordinary_text_where_a_value_cannot_be_missing() -> None:
    from img2img.methods.pix2pix import Config as Pix2PixConfig

    values = Pix2PixConfig.with_defaults(DATA)
    assign(values, ["initialise=none", "discriminator.options.norm=none", "adversarial.penalty=none"])
    config = Pix2PixConfig.parse(values, where="settings")
    assert config.initialise == "none" and config.discriminator.options == {"norm": "none"}
    assert config.adversarial.penalty is None


def test_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolved().data.folders == (tmp_path / "photos",)
