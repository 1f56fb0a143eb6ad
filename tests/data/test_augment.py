"""Random rotations and colours of training pictures."""

import subprocess
import sys

import numpy as np
import pytest

from img2img.data.augment import AugmentConfig, augment, augment_pair

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_default_changes_nothing_and_does_not_import_albumentations() -> None:
    assert augment(AugmentConfig(), rng(), PICTURE) is PICTURE
    code = "import sys, img2img.data.paired, img2img.data.unpaired; sys.exit('albumentations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("config", [AugmentConfig(rotate=20), AugmentConfig(colour=0.5)], ids=str)
def test_changes_depend_only_on_the_random_numbers(config: AugmentConfig) -> None:
    first, again, other = (augment(config, rng(seed), PICTURE) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.shape == PICTURE.shape and first.dtype == np.uint8


def test_both_pictures_of_a_pair_change_in_the_same_way() -> None:
    config = AugmentConfig(rotate=30, colour=0.3)
    source, target = augment_pair(config, rng(), PICTURE, PICTURE.copy(), labels=False)
    assert np.array_equal(source, target) and not np.array_equal(source, PICTURE)


def test_label_maps_rotate_with_their_picture_and_classes_are_not_mixed() -> None:
    classes = np.zeros((40, 40, 1), np.uint8)
    classes[10:30, 5:20] = 200
    painted = np.repeat(classes, 3, axis=2)
    rotated, target = augment_pair(AugmentConfig(rotate=45), rng(), classes, painted, labels=True)
    assert set(np.unique(rotated)) == {0, 200} and not np.array_equal(rotated, classes)
    assert (np.abs(rotated.astype(int) - target[:, :, :1]) > 100).mean() < 0.05


def test_colour_does_not_move_shapes() -> None:
    grey = np.full((40, 40, 3), 60, np.uint8)
    grey[10:30, 10:30] = 180
    changed = augment(AugmentConfig(colour=0.4), rng(3), grey).astype(int)
    assert np.ptp(changed[12:28, 12:28]) == 0 and changed[20, 20, 0] > changed[2, 2, 0]
