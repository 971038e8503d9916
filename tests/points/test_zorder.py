import torch

from pointstill.points.zorder import SIDE, along_curve


def test_curve_interleaves_the_digits_of_the_cells() -> None:
    torch.manual_seed(0)
    cells = torch.randint(0, 1024, (50, 3))
    codes = []
    for x, y, z in cells.tolist():
        digits = zip(f"{x:010b}", f"{y:010b}", f"{z:010b}", strict=True)
        codes.append(int("".join("".join(triple) for triple in digits), 2))
    inside = ((cells + 0.5) / 1024 - 0.5) * SIDE
    order = along_curve(inside[None])[0].tolist()
    assert order == sorted(range(50), key=codes.__getitem__)


def test_the_order_in_which_points_come_does_not_matter() -> None:
    torch.manual_seed(0)
    cloud = torch.rand(1, 300, 3)
    mixed = cloud[:, torch.randperm(300)]
    assert torch.equal(cloud[0, along_curve(cloud)[0]], mixed[0, along_curve(mixed)[0]])


def test_a_part_of_a_cloud_is_in_the_order_of_the_whole() -> None:
    torch.manual_seed(0)
    cloud = torch.randn(1, 300, 3)  # a few points lie outside the cube
    part = cloud[:, along_curve(cloud)[0]][:, ::7]
    assert along_curve(part)[0].tolist() == list(range(part.shape[1]))


def test_points_in_one_place_keep_their_order() -> None:
    assert along_curve(torch.ones(2, 5, 3)).tolist() == [[0, 1, 2, 3, 4]] * 2
