"""Stand-in for somebody else's training: leaves shape_net.pt, wide.onnx and names.txt here."""

import argparse
from pathlib import Path

import torch
from shape_net import ShapeNet
from torch import nn

from pointstill import open_dataset
from pointstill.augment import Clouds
from pointstill.data.selection import limited


def fit(width: int, clouds: Clouds, shapes: torch.Tensor, labels: torch.Tensor, epochs: int):
    torch.manual_seed(width)
    model = ShapeNet(int(labels.max()) + 1, width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(shapes)).split(32):
            points = clouds.plain(shapes[rows], 256)
            scores, _ = model(points.transpose(1, 2))
            loss = nn.functional.nll_loss(scores, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=800, help="training shapes")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    data = open_dataset("primitives")
    split = data.train
    shapes = torch.from_numpy(limited(split, options.limit))
    clouds = Clouds.of(split)
    # Its classes are in another order than the data's.
    names = sorted(data.classes, reverse=True)
    own = torch.tensor([names.index(name) for name in data.classes])
    labels = own[torch.from_numpy(split.labels.copy())[shapes]]
    Path("names.txt").write_text("\n".join(names) + "\n")

    narrow = fit(64, clouds, shapes, labels, options.epochs)
    torch.save(narrow.state_dict(), "shape_net.pt")
    wide = fit(96, clouds, shapes, labels, options.epochs)
    free = {"x": {0: torch.export.Dim("batch"), 2: torch.export.Dim("points", min=8)}}
    program = torch.onnx.export(
        wide, (torch.rand(2, 3, 256),), dynamo=True, dynamic_shapes=free, verbose=False
    )
    assert program is not None
    program.save("wide.onnx")
    print("wrote shape_net.pt, wide.onnx, names.txt")


if __name__ == "__main__":
    main()
