"""State of objectives in a distributed run: all processes reach the same state, that of their batches together."""

import pytest
import torch
from torch import Tensor

from img2img import objectives
from img2img.objectives import processes
from img2img.objectives.feature_matching import FeatureMatching


def in_company(monkeypatch: pytest.MonkeyPatch, others: list[Tensor]) -> None:
    """Pretend that two processes run; the other one contributes `others`, in the order of the reductions."""
    reductions = iter(others)

    def all_reduce(value: Tensor, kind: object = torch.distributed.ReduceOp.SUM) -> None:
        other = next(reductions)
        value.copy_(torch.maximum(value, other) if kind == torch.distributed.ReduceOp.MAX else value + other)

    monkeypatch.setattr(processes.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(processes.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(processes.dist, "all_reduce", all_reduce)


def test_began_averages_over_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, whole = objectives.adversarial("began", rate=0.1), objectives.adversarial("began", rate=0.1)
    real, fake = torch.tensor([4.0, 2.0, 6.0, 8.0]), torch.tensor([0.5, 1.5, 1.0, 2.0])
    whole.discriminator(real, fake)
    in_company(monkeypatch, [torch.tensor([real[2:].mean(), fake[2:].mean()])])
    ours.discriminator(real[:2], fake[:2])
    assert ours.k.item() == pytest.approx(whole.k.item()) and ours.k > 0
    assert ours.convergence.item() == pytest.approx(whole.convergence.item())


def test_class_averages_cover_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = torch.randn(4, 3), torch.eye(2)[[0, 1, 1, 1]]
    ours, whole = FeatureMatching("class-mean"), FeatureMatching("class-mean")
    whole([features], [features], labels)
    in_company(monkeypatch, [labels[2:].sum(0), labels[2:].T @ features[2:]])
    ours([features[:2]], [features[:2]], labels[:2])
    for key, value in whole.state_dict().items():
        assert torch.allclose(ours.state_dict()[key], value), key


def test_processes_agree_on_the_number_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    matching = FeatureMatching("class-mean")
    others = [torch.tensor(4), torch.zeros(5), torch.zeros(5, 3), torch.tensor(4)]  # the other process has class 4
    in_company(monkeypatch, others)
    matching([torch.randn(2, 3)], [torch.randn(2, 3)], torch.tensor([0, 1]))
    assert matching.state_dict()["centre_0"].shape == (5, 3)
