"""The FCN-score: figures by hand, the segmentation network, and how `evaluate` reports it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
import torch
from PIL import Image

from img2img.data.folders import Reading
from img2img.data.pairs import find_pairs
from img2img.errors import DataError
from img2img.evaluation import fcn_score, segmentation
from img2img.evaluation.fcn_score import Confusion, FCNScore
from img2img.evaluation.segmentation import LabelledPhoto, Segmenter
from img2img.networks.segmentation import SegmentationNetwork

PALETTE = np.array([(20, 20, 90), (200, 60, 20)], np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _small_photos() -> Iterator[None]:
    """Small photos are enough to tell two colours apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmentation, "SIDE", 32)
        yield


def label_map(seed: int, side: int = 32) -> np.ndarray:
    """A box of the second class on the first one."""
    top, left = np.random.default_rng(seed).integers(2, side // 2, 2)
    classes = np.zeros((side, side), np.uint8)
    classes[top : top + side // 3, left : left + side // 3] = 1
    return PALETTE[classes]


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps (left) and their photos (right): the square roots of the labels, which the model `root` computes."""
    folder = tmp_path_factory.mktemp("streets")
    for number in range(40):
        labels = label_map(number)
        photo = np.rint(np.sqrt(labels / 255) * 255).astype(np.uint8)
        Image.fromarray(np.concatenate([labels, photo], axis=1)).save(folder / f"{number}.png")
    return folder


def test_figures_by_hand() -> None:
    confusion = Confusion(4)
    # Class 0 has 4 pixels, 3 of them right; class 1 has 2, both wrong; class 2 is never true, and predicted once.
    confusion.add(np.array([[0, 0, 0, 0]], np.uint8), np.array([[0, 0, 0, 2]], np.uint8))
    confusion.add(np.array([[1, 1]], np.uint8), np.array([[0, 0]], np.uint8))
    assert confusion.counts[0].tolist() == [3, 0, 1, 0] and confusion.counts[1].tolist() == [2, 0, 0, 0]
    assert confusion.figures() == {
        "pixel_accuracy": 3 / 6,
        "class_accuracy": (3 / 4 + 0) / 2,
        "mean_iou": pytest.approx((3 / (4 + 2) + 0 / 2 + 0 / 1) / 3),
    }


def test_photos_are_compared_with_their_label_maps() -> None:
    """The segmenter takes every pixel for the second class."""

    class Second(Segmenter):
        def __init__(self) -> None:
            self.side = 32

        def __call__(self, photo: np.ndarray) -> np.ndarray:
            return np.ones((32, 32), np.uint8)

    score = FCNScore(Second(), PALETTE)
    labels = label_map(0, side=64)
    share = float((labels == PALETTE[1]).all(2).mean())
    right, total = score.add("model", [labels, labels], labels)
    assert total == 2 * 32 * 32 and right / total == pytest.approx(share, abs=0.02)
    found = score.figures()["model"]
    assert found["pixel_accuracy"] == right / total and found["class_accuracy"] == 0.5
    with pytest.raises(DataError, match="not one of the 2 classes"):
        score.add("model", [labels], labels + 1)


def test_label_maps_are_recognised_as_in_training(streets: Path, tmp_path: Path) -> None:
    pairs = find_pairs([streets]).train
    palette = fcn_score.find_palette(pairs, Reading())
    assert palette is not None and palette.tolist() == PALETTE.tolist()
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    for number in range(3):
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    assert fcn_score.find_palette(find_pairs([tmp_path]).train, Reading()) is None


def test_the_network_learns_the_classes_and_depends_only_on_its_seed(streets: Path) -> None:
    pairs = find_pairs([streets])
    score = fcn_score.train(pairs.train, PALETTE, steps=40)
    for pair in pairs.test:
        labels, photo = pair.read()
        score.add("real", [photo], labels)
    assert score.figures()["real"]["pixel_accuracy"] > 0.95 and score.figures()["real"]["mean_iou"] > 0.8
    photos = [LabelledPhoto(label_map(n), (label_map(n)[..., 0] > 100).astype(np.uint8)) for n in range(8)]
    losses: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for run, seed in ((0, 3), (1, 3), (2, 4)):
        segmentation.train(
            photos, 2, side=32, seed=seed, steps=2, tick=lambda step, loss, run=run: losses[run].append(loss)
        )
    assert losses[0] == losses[1] != losses[2]
    with pytest.raises(DataError, match="at least two classes"):
        segmentation.train(photos, 1)


def test_photo_and_classes_are_augmented_alike() -> None:
    labels = label_map(1)
    one = LabelledPhoto(labels, (labels[..., 0] > 100).astype(np.uint8))
    rng = np.random.default_rng(0)
    for _ in range(10):
        photo, classes = segmentation._augmented(one, rng)
        second = photo[..., 0].astype(int) > photo[..., 2]  # red is stronger than blue in the second class only
        assert 0 < classes.sum() < classes.size and (second == classes).mean() > 0.95


def test_scores_have_the_size_of_the_picture() -> None:
    network = SegmentationNetwork(5).eval()
    assert network(torch.zeros(2, 3, 48, 32)).shape == (2, 5, 48, 32)
    with pytest.raises(ValueError, match="segmentation network"):
        network(torch.zeros(1, 3, 40, 32))


def test_a_model_of_label_maps_is_measured_by_a_segmentation_network(
    img2img: Callable[..., Any], streets: Path, tmp_path: Path
) -> None:
    model = onnx_nets.pointwise(tmp_path / "root.onnx", "Sqrt", task="translate")
    black = onnx_nets.pointwise(tmp_path / "black.onnx", "Floor", task="translate")
    args = ("evaluate", model, "--data", streets, "--held-out", "--against", black, "--classifier-steps", 40)
    done = img2img(*args, "--json", "--device", "cpu", "--threads", 1)
    assert done.status == 0, done.err
    assert "training a segmentation network of 2 classes on" in done.err
    *cases, last = [json.loads(line) for line in done.out.splitlines()]
    assert last["pixel_accuracy"] > 0.95 and last["mean_iou"] > 0.8
    assert last["pixel_accuracy_real"] == pytest.approx(last["pixel_accuracy"], abs=0.01) and "mean_iou_real" in last
    # A black photo has no box, so at best its background is right.
    assert last["black"]["mean_iou"] < 0.6 and last["black"]["class_accuracy"] <= 0.6
    assert cases[0]["pixel_accuracy"] > 0.9 and "mean_iou" not in cases[0]
