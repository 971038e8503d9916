"""Mixes against a loop that mixes two clouds by hand, and that they are replayed exactly."""

import hashlib

import numpy as np
import pytest
import torch

from pointstill.augment import Clouds, Pipeline, parse, resample
from pointstill.augment.key import Key
from pointstill.errors import RecordsError, UsageError
from pointstill.points.features import Extra

SHAPES = torch.tensor([6, 0, 2, 5, 3, 1, 4])
VIEW, COUNT, SEED = 3, 32, 5
HOW = ["nearest", "random"]


def pipeline(text: str = "mix(chance=0.7)", seed: int = SEED) -> Pipeline:
    return Pipeline(parse(text, "z"), seed)


def words(philox, shape: int, count: int) -> list[int]:
    """The random words of a shape's mix, in Python's integers."""
    stream = int.from_bytes(hashlib.sha256(b"train/mix#0").digest()[:4], "little")
    blocks = [philox((block, shape, VIEW, stream), (SEED, 0)) for block in range(-(-count // 4))]
    return [word for block in blocks for word in block][:count]


def drawn(clouds: Clouds, shape: int) -> np.ndarray:
    """The points of a shape by itself."""
    one = torch.tensor([shape])
    rows = resample.sample(Key(SEED, "train", VIEW, one, "resample#0"), clouds.sizes[one], COUNT)
    return clouds.take(one, rows)[0].numpy()


def by_hand(clouds: Clouds, philox, shape: int, how: str) -> tuple[np.ndarray, int, float]:
    """The mixed points, the partner and its share, the long way."""
    draw = words(philox, shape, 3 + COUNT)
    u = [(word >> 8) / 2**24 for word in draw]
    own = drawn(clouds, shape)
    if u[0] >= 0.7:
        return own, shape, 0.0
    others = [each for each in range(len(clouds)) if each != shape]
    partner, share = others[draw[2] * len(others) >> 32], 0.5 * u[1]
    theirs, mixed = drawn(clouds, partner), own.copy()
    if how == "random":
        for place in range(COUNT):
            if u[3 + place] < share:
                mixed[place] = theirs[place]
        return mixed, partner, share

    def away(point: np.ndarray) -> float:
        x, y, z = point[:3] - own[0, :3]
        return x * x + y * y + z * z

    nearest = sorted(range(COUNT), key=lambda place: away(own[place]))
    coming = sorted(range(COUNT), key=lambda place: away(theirs[place]))
    for there, here in list(zip(coming, nearest, strict=True))[: int(share * COUNT)]:
        mixed[here] = theirs[there]
    return mixed, partner, share


@pytest.mark.parametrize("how", HOW)
def test_equals_the_loop(how, clouds, philox):
    pipe = pipeline(f"mix(chance=0.7,how={how})")
    result = pipe.replay(clouds, VIEW, SHAPES, pipe.sample(VIEW, SHAPES), COUNT)
    found = pipe.partners(VIEW, SHAPES, len(clouds))
    assert 0 < int((found.share > 0).sum()) < len(SHAPES)
    changed = 0
    for place, shape in enumerate(SHAPES.tolist()):
        points, partner, share = by_hand(clouds, philox, shape, how)
        np.testing.assert_array_equal(result[place].numpy(), points)
        assert int(found.shapes[place]) == partner
        assert float(found.share[place]) == pytest.approx(share, abs=1e-7)
        changed += not np.array_equal(points, drawn(clouds, shape))
    assert changed == int((found.share > 0).sum())


@pytest.mark.parametrize("how", HOW)
def test_normals_heights_and_channels_go_with_their_points(how, ragged):
    points, offsets = ragged()
    extra = np.random.default_rng(1).normal(size=(len(points), 5)).astype(np.float32)
    features = Extra(extra, ("xyz", "normal", "height", "heat"), "y", "0")
    clouds, plain = Clouds(points, offsets, extra=features), Clouds(points, offsets)
    pipe = pipeline(f"mix(chance=1,how={how})")
    with_all, xyz = (pipe.draw(each, VIEW, SHAPES, COUNT) for each in (clouds, plain))
    assert torch.equal(with_all[..., :3], xyz)
    every = {
        tuple(row[:3].tolist()): row
        for shape in range(len(clouds))
        for row in clouds.take(torch.tensor([shape]), torch.arange(int(clouds.sizes[shape]))[None])[
            0
        ]
    }
    for row in with_all.flatten(0, 1):
        assert torch.equal(row, every[tuple(row[:3].tolist())])


@pytest.mark.parametrize("how", HOW)
def test_a_view_does_not_depend_on_its_batch(how, clouds):
    """A partner need be in no tile and no share of a rank."""
    pipe = pipeline(f"mix(chance=0.7,how={how}),scale,rotate,jitter")
    parameters = pipe.sample(VIEW, SHAPES)
    whole = pipe.replay(clouds, VIEW, SHAPES, parameters, COUNT)
    found = pipe.partners(VIEW, SHAPES, len(clouds))
    for place in range(len(SHAPES)):
        one = slice(place, place + 1)
        alone = pipe.replay(clouds, VIEW, SHAPES[one], parameters[one], COUNT)
        assert torch.equal(alone, whole[one])
        assert torch.equal(pipe.partners(VIEW, SHAPES[one], len(clouds)).shapes, found.shapes[one])


def test_other_operations_draw_and_act_as_without_it(clouds):
    mixed, without = pipeline("mix,scale,jitter"), pipeline("scale,jitter")
    parameters = mixed.sample(VIEW, SHAPES)
    assert torch.equal(parameters, without.sample(VIEW, SHAPES))
    assert mixed.columns == without.columns
    alone = mixed.partners(VIEW, SHAPES, len(clouds)).share == 0
    one, other = (p.replay(clouds, VIEW, SHAPES, parameters, COUNT) for p in (mixed, without))
    assert torch.equal(one[alone], other[alone])
    moved = without.apply(mixed.draw(clouds, VIEW, SHAPES, COUNT), VIEW, SHAPES, parameters)
    assert torch.equal(one, moved)


@pytest.mark.parametrize("how", HOW)
def test_the_proof_covers_its_draws(how, clouds):
    def proof(text: str, view: int = VIEW) -> bytes:
        pipe = pipeline(text)
        # The points and parameters of one view, so that nothing but the mix's draws differs.
        indices = pipe.indices(clouds, VIEW, SHAPES, COUNT)
        return pipe.proof(indices, view, SHAPES, pipe.sample(VIEW, SHAPES))

    text = f"mix(how={how}),scale"
    assert len({proof(text), proof("scale"), proof(text, VIEW + 1)}) == 3
    assert proof(text) == proof(text)


def test_all_others_are_partners_alike():
    shapes = torch.arange(5).repeat(4000)
    pipe = pipeline("mix(chance=0.25)")
    views = [pipe.partners(view, torch.arange(5), 5) for view in range(4000)]
    partners = torch.stack([each.shapes for each in views])
    share = torch.stack([each.share for each in views])
    mixed = share > 0
    assert float(mixed.double().mean()) == pytest.approx(0.25, abs=0.01)
    assert torch.equal(partners[~mixed], shapes.view(-1, 5)[~mixed])
    assert float(share[mixed].mean()) == pytest.approx(0.25, abs=0.01)
    assert float(share.max()) < 0.5
    for shape in range(5):
        counts = torch.bincount(partners[mixed[:, shape], shape], minlength=5)
        assert counts[shape] == 0
        assert float(counts[counts > 0].double().std() / counts.sum()) < 0.03
        assert int((counts > 0).sum()) == 4


def test_fewer_points_show_the_same_mix(clouds):
    pipe = pipeline("mix(chance=1,how=random)")
    many, few = (pipe.draw(clouds, VIEW, SHAPES, count) for count in (32, 16))
    assert torch.equal(many[:, :16], few)
    pipe = pipeline("mix(chance=1,how=nearest)")
    plain = pipeline("none")
    for count in (16, 32):
        mixed, own = (each.draw(clouds, VIEW, SHAPES, count) for each in (pipe, plain))
        shares = pipe.partners(VIEW, SHAPES, len(clouds)).share
        replaced = (mixed != own).any(2).sum(1)
        assert torch.all(replaced <= (shares * count).long())


def test_a_shape_by_itself_stays(ragged):
    clouds = Clouds(*ragged((40,)))
    zero = torch.tensor([0])
    assert torch.equal(
        pipeline("mix(chance=1)").draw(clouds, 0, zero, 8),
        pipeline("none").draw(clouds, 0, zero, 8),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mix(chance=1.5)", "mix has chance=1.5: choose 0 to 1"),
        ("mix(most=0.6)", "mix has most=0.6: choose 0 to 0.5"),
        ("mix(how=best)", "mix has how=best: choose from random, nearest"),
        ("scale,mix", "mix stands behind another operation"),
        ("mix,mix", "mix stands behind another operation"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, said):
    with pytest.raises(UsageError) as caught:
        pipeline(text)
    assert said in str(caught.value)


def test_a_description_is_restored_or_refused():
    pipe = pipeline("mix(most=0.3),scale")
    description = pipe.describe()
    assert description["operations"][0] == {
        "name": "mix",
        "version": 1,
        "chance": 0.5,
        "most": 0.3,
        "how": "random",
    }
    assert Pipeline.restore(description) == pipe
    description["operations"].reverse()
    with pytest.raises(RecordsError, match="mix stands behind"):
        Pipeline.restore(description)
