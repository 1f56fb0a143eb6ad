from img2img.training.health import REPEAT_AFTER, WINDOW, Health


def warnings_after(health: Health, lines: int, **figures: float) -> list[str]:
    return [warning for _ in range(lines) for warning in health.logged(figures)]


def test_a_discriminator_that_is_always_right_is_reported_once_and_again_much_later() -> None:
    health = Health()
    assert warnings_after(health, WINDOW - 1, accuracy_real=1.0, accuracy_fake=1.0) == []
    (warning,) = warnings_after(health, 1, accuracy_real=1.0, accuracy_fake=1.0)
    assert "right on 100 %" in warning and "discriminator_optimiser.rate" in warning
    assert warnings_after(health, REPEAT_AFTER - 1, accuracy_real=1.0, accuracy_fake=1.0) == []
    assert len(warnings_after(health, 1, accuracy_real=1.0, accuracy_fake=1.0)) == 1


def test_a_balanced_discriminator_gives_no_warning() -> None:
    assert warnings_after(Health(), 50, accuracy_real=1.0, accuracy_fake=0.8) == []
    assert warnings_after(Health(), 50, loss=1.0) == []


def test_a_vanished_gradient_is_another_fault() -> None:
    health = Health()
    warnings_after(health, 3, accuracy_real=0.7, accuracy_fake=0.7, **{"gradient/adversarial": 1.0})
    warnings = warnings_after(health, WINDOW, accuracy_real=1.0, accuracy_fake=1.0, **{"gradient/adversarial": 0.001})
    assert len(warnings) == 1 and "next to no gradient" in warnings[0]


def test_similar_outputs_and_labels_without_effect_give_warnings() -> None:
    health = Health()
    warnings = [health.validated({"diversity": 0.1, "label_effect": 0.001}) for _ in range(3)]
    assert warnings[:2] == [[], []]
    assert len(warnings[2]) == 2
    assert "nearly all alike (their distances are 10 %" in warnings[2][0] and "ignores it" in warnings[2][1]
    assert [Health().validated({"diversity": 0.9, "label_effect": 0.3}) for _ in range(3)] == [[], [], []]
