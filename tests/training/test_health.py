from img2img.training.health import REPEAT_AFTER, WINDOW, Health


def told(health: Health, lines: int, **figures: float) -> list[str]:
    return [warning for _ in range(lines) for warning in health.logged(figures)]


def test_a_discriminator_that_is_always_right_is_told_once_and_again_much_later() -> None:
    health = Health()
    assert told(health, WINDOW - 1, accuracy_real=1.0, accuracy_fake=1.0) == []
    (warning,) = told(health, 1, accuracy_real=1.0, accuracy_fake=1.0)
    assert "right on 100 %" in warning and "discriminator_optimiser.rate" in warning
    assert told(health, REPEAT_AFTER - 1, accuracy_real=1.0, accuracy_fake=1.0) == []
    assert len(told(health, 1, accuracy_real=1.0, accuracy_fake=1.0)) == 1


def test_an_open_game_is_no_news() -> None:
    assert told(Health(), 50, accuracy_real=1.0, accuracy_fake=0.8) == []
    assert told(Health(), 50, loss=1.0) == []


def test_a_gradient_that_has_faded_is_another_fault() -> None:
    health = Health()
    told(health, 3, accuracy_real=0.7, accuracy_fake=0.7, **{"gradient/adversarial": 1.0})
    warnings = told(health, WINDOW, accuracy_real=1.0, accuracy_fake=1.0, **{"gradient/adversarial": 0.001})
    assert len(warnings) == 1 and "next to no gradient" in warnings[0]


def test_outputs_that_are_all_alike_and_labels_that_do_nothing() -> None:
    health = Health()
    warnings = [health.validated({"diversity": 0.1, "label_effect": 0.001}) for _ in range(3)]
    assert warnings[:2] == [[], []]
    assert len(warnings[2]) == 2
    assert "nearly all alike (their distances are 10 %" in warnings[2][0] and "ignores it" in warnings[2][1]
    assert [Health().validated({"diversity": 0.9, "label_effect": 0.3}) for _ in range(3)] == [[], [], []]
