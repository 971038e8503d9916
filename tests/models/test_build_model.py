import pytest
import torch

from pointstill.errors import UsageError
from pointstill.models import MODELS, build_model

QUICK = [
    # It takes ten seconds, and is the code of pointmlp-elite.
    pytest.param(name, marks=pytest.mark.slow) if name == "pointmlp" else name
    for name in MODELS
]


@pytest.mark.parametrize("name", QUICK)
def test_points_to_logits_and_gradients_to_all_parameters(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, 5).train()
    for key, parameter in model.named_parameters():
        if "SGCAM" in key and "W.1.weight" in key:
            torch.nn.init.ones_(parameter)  # zero at the start: shuts the attention off
    logits = model(torch.rand(4, 128, 3))
    assert logits.shape == (4, 5)
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    gradients = [p.grad for p in model.parameters() if p.ndim > 1]
    assert all(gradient is not None and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("name", QUICK)
def test_a_prediction_does_not_depend_on_its_batch(name: str) -> None:
    torch.manual_seed(1)
    model = build_model(name, 7).double().eval()
    clouds = torch.rand(3, 100, 3, dtype=torch.float64)
    with torch.inference_mode():
        together = model(clouds)
        torch.testing.assert_close(model(clouds.flip(0)).flip(0), together)
        torch.testing.assert_close(model(clouds[1:2]), together[1:2])


@pytest.mark.parametrize("name", QUICK)
def test_small_clouds_and_repeated_points(name: str) -> None:
    """Fewer points than the published networks have centres, even fewer than neighbours."""
    torch.manual_seed(2)
    model = build_model(name, 4).eval()
    with torch.inference_mode():
        for n in (64, 32) if name.startswith("stillnet") else (64, 32, 16):
            clouds = torch.rand(2, n, 3)
            clouds[1] = clouds[1, :1]
            assert model(clouds).isfinite().all()


@pytest.mark.parametrize("name", QUICK)
def test_trains_in_mixed_precision(name: str) -> None:
    torch.manual_seed(3)
    model = build_model(name, 4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = torch.nn.functional.cross_entropy(model(torch.rand(4, 64, 3)), torch.arange(4))
    loss.backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for parameter in model.parameters()
    )
    with torch.inference_mode():
        clouds = torch.rand(2, 64, 3)
        exact = model.eval()(clouds)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(clouds)
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max() + 0.05


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_stored_twice(name: str) -> None:
    state = build_model(name, 3).state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


def test_an_unknown_name_brings_near_ones() -> None:
    with pytest.raises(
        UsageError, match=r"no model is called 'stilnet-n': did you mean stillnet-n"
    ):
        build_model("stilnet-n", 5)
    with pytest.raises(UsageError, match=r"there are pointnet, .*gdanet, .*stillnet-n"):
        build_model("zzz", 5)
