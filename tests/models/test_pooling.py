import pytest
import torch

from pointstill.models.layers.pooling import largest


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_it_is_amax_and_so_is_its_gradient(dim: int) -> None:
    torch.manual_seed(0)
    values = torch.randint(0, 4, (6, 7, 5)).double()  # so that many are equal
    grad = torch.rand(values.amax(dim).shape, dtype=torch.float64)
    pairs = [values.clone().requires_grad_(), values.clone().requires_grad_()]
    found, wanted = largest(pairs[0], dim), pairs[1].amax(dim)
    assert torch.equal(found, wanted)
    found.backward(grad)
    wanted.backward(grad)
    assert pairs[0].grad is not None
    assert pairs[1].grad is not None
    torch.testing.assert_close(pairs[0].grad, pairs[1].grad)


def test_a_gradient_of_less_precision_stays_so() -> None:
    values = torch.rand(3, 4).bfloat16().requires_grad_()
    largest(values, 1).sum().backward()
    assert values.grad is not None
    assert values.grad.dtype == torch.bfloat16
    assert values.grad.sum() == 3
