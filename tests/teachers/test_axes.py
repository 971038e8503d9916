import pytest
import torch

from pointstill.errors import UsageError
from pointstill.teachers.axes import parse_axes, permute_axes


def test_axes_are_taken_and_permute_axes_round() -> None:
    points = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert permute_axes(points, parse_axes("x,z,y")).tolist() == [[[1, 3, 2]]]
    assert permute_axes(points, parse_axes("x, z, -y")).tolist() == [[[1, 3, -2]]]
    assert permute_axes(points, parse_axes("-Z,x,y")).tolist() == [[[-3, 1, 2]]]


@pytest.mark.parametrize("same", [None, "auto", "x,y,z"])
def test_the_data_s_own(same: str | None) -> None:
    assert parse_axes(same) is None


@pytest.mark.parametrize(
    "bad", ["", "x,y", "x,x,y", "x,y,w", "+x,y,z", "xyz", "--x,y,z", "x,y,z,z"]
)
def test_no_axes(bad: str) -> None:
    with pytest.raises(UsageError, match=r"is no set of axes: give all three, such as x,z,y"):
        parse_axes(bad)
