import torch

from pointstill.curve import along_curve


def test_curve_interleaves_the_digits_of_the_cells() -> None:
    torch.manual_seed(0)
    cells = torch.randint(0, 1024, (50, 3))
    cells[0], cells[1] = 0, 1023  # so that cells are where points are
    codes = []
    for x, y, z in cells.tolist():
        digits = zip(f"{x:010b}", f"{y:010b}", f"{z:010b}", strict=True)
        codes.append(int("".join("".join(triple) for triple in digits), 2))
    order = along_curve(cells[None].double() * 0.5 - 7)[0].tolist()
    assert order == sorted(range(50), key=codes.__getitem__)


def test_place_size_and_order_do_not_matter() -> None:
    torch.manual_seed(0)
    cloud, order = torch.rand(1, 300, 3), torch.randperm(300)
    along = cloud[0, along_curve(cloud)[0]]
    moved = cloud[:, order] * 8 + 16
    assert torch.equal(along * 8 + 16, moved[0, along_curve(moved)[0]])


def test_points_in_one_place_keep_their_order() -> None:
    assert along_curve(torch.ones(2, 5, 3)).tolist() == [[0, 1, 2, 3, 4]] * 2
