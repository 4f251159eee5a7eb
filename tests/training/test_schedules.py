import math

import pytest
import torch

from iit_lab.training.schedules import cosine, linear


def rates(schedule, total: int, **options) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer, total, **options)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*found, optimizer.param_groups[0]["lr"]]


def test_linear_by_hand():
    assert rates(linear, 4) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert rates(linear, 6, warmup=1 / 3) == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25, 0])


def test_cosine_is_torch_s_own():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    expected = [1.0]
    for _ in range(10):
        optimizer.step()
        reference.step()
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates(cosine, 10) == pytest.approx(expected, abs=1e-9)
    assert rates(cosine, 10, warmup=0.2)[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert math.isclose(rates(cosine, 10, warmup=0.2)[-1], 0, abs_tol=1e-9)
