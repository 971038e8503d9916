"""The pipeline: what a string means, and that every view is named, replayed and proven exactly."""

import hashlib
import json
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from pointstill.augment import OPERATIONS, Clouds, Pipeline, moments, parse, resample
from pointstill.augment.dropout import Dropout
from pointstill.augment.jitter import Jitter
from pointstill.augment.key import Key
from pointstill.augment.mirror import Mirror
from pointstill.augment.rotate import Rotate
from pointstill.augment.scale import Scale
from pointstill.augment.shift import Shift
from pointstill.errors import RecordsError, UsageError

ALL = "scale,shift,rotate,mirror,jitter,dropout"
TWICE = "jitter,scale,rotate(axis=any),dropout,scale(low=0.9,high=1.1),jitter(sigma=0.02)"
SHAPES = torch.tensor([6, 0, 2, 5])


def pipeline(text: str = ALL, seed: int = 5, split: str = "train") -> Pipeline:
    return Pipeline(parse(text, "z"), seed, split)


def view(
    pipe: Pipeline, clouds: Clouds, count: int = 32, number: int = 3, shapes: Tensor = SHAPES
) -> Tensor:
    return pipe.replay(clouds, number, shapes, pipe.sample(number, shapes), count)


def proof(
    pipe: Pipeline,
    clouds: Clouds,
    count: int = 32,
    number: int = 3,
    shapes: Tensor = SHAPES,
    parameters: Tensor | None = None,
) -> bytes:
    drawn = pipe.sample(number, shapes) if parameters is None else parameters
    return pipe.proof(pipe.indices(clouds, number, shapes, count), number, shapes, drawn)


# What a string means.


@pytest.mark.parametrize("text", ["", "  ", "none", " none "])
def test_nothing_is_no_operation(text):
    assert parse(text, "z") == ()


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_names_and_options(up):
    assert parse("scale,shift", up) == (Scale(), Shift())
    assert parse(" scale ,\tshift( by = 0.1 ) ", up) == (Scale(), Shift(by=0.1))
    assert parse("scale(low=1,high=1.25)", up) == (Scale(1, 1.25),)
    assert parse("shift(by=+1e-2)", up) == (Shift(0.01),)
    assert parse("rotate, mirror()", up) == (Rotate(up), Mirror(up))
    assert parse("rotate(axis=up,degrees=15)", up) == (Rotate(up, 15),)
    assert parse("rotate(axis='x'),mirror(up=y)", up) == (Rotate("x"), Mirror("y"))
    assert parse("rotate(axis=any)", up) == (Rotate("any"),)
    assert parse("jitter(sigma=0.02,clip=0.1),dropout(most=0.9)", up) == (
        Jitter(0.02, 0.1),
        Dropout(0.9),
    )


def test_every_operation_is_reached_by_its_name():
    for name, operation in OPERATIONS.items():
        (parsed,) = parse(name, "y")
        assert isinstance(parsed, operation)
        assert operation.name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale(low=3,high=1)", "scale has low=3 and high=1: choose 0 < low <= high"),
        ("scale(low=0,high=0)", "low=0 and high=0"),
        ("scale(low=2)", "low=2 and high=1.5"),
        ("scale(low=-1)", "low=-1 and high=1.5"),
        ("shift(by=-1e-2)", "shift has by=-0.01: choose 0 or more"),
        ("rotate(degrees=-5)", "rotate has degrees=-5: choose 0 to 180"),
        ("rotate(degrees=181)", "rotate has degrees=181: choose 0 to 180"),
        ("jitter(sigma=-1)", "jitter has sigma=-1: choose 0 or more"),
        ("jitter(clip=-0.1)", "jitter has clip=-0.1: choose 0 or more"),
        ("dropout(most=2)", "dropout has most=2: choose 0 to 1"),
        ("dropout(most=-0.1)", "dropout has most=-0.1: choose 0 to 1"),
        ("scale(**x)", "scale has options without a name: write them out, such as scale(low=...)"),
        ("scael", "unknown augmentation 'scael'"),
        ("Scale", "choose from scale, shift, rotate, mirror, jitter, dropout"),
        ("scale shift", "cannot be read"),
        ("scale,,shift", "cannot be read"),
        ("scale(low=", "cannot be read"),
        ("scale]+[shift", "cannot be read"),
        ("scale(low=abs(2))", "cannot be read"),
        ("0.5", "unknown augmentation '0.5'"),
        ("np.scale(low=1)", "unknown augmentation 'np.scale'"),
        ("*scale", "unknown augmentation"),
        ("scale(most=1)", "scale has no option 'most': choose from low, high"),
        ("mirror(**up)", "mirror has options without a name"),
        (
            "scale(0.5,1.5)",
            "scale has options without a name: write them out, such as scale(low=...)",
        ),
        ("scale(low=small)", "low=small, which is of the wrong kind: give a finite number"),
        ("scale(low='1')", "of the wrong kind"),
        ("scale(low=None)", "of the wrong kind"),
        ("scale(low=True)", "of the wrong kind"),
        ("scale(low=[1, 2])", "of the wrong kind"),
        ("scale(low=1j)", "of the wrong kind"),
        ("scale(high=1e999)", "of the wrong kind"),
        ("scale(high=nan)", "of the wrong kind"),
        ("rotate(axis=1)", "axis=1, which is of the wrong kind: give a word"),
        ("rotate(axis=w)", "axis=w, which is no axis"),
        ("rotate(axis='')", "is no axis"),
        ("mirror(up=any)", "up=any, which is no axis: choose from x, y, z, up"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, said):
    with pytest.raises(UsageError) as caught:
        parse(text, "z")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


# What a pipeline is.


def test_columns_are_named_and_numbered():
    assert pipeline("scale,jitter,shift,scale,dropout,scale").columns == (
        *("scale_x", "scale_y", "scale_z", "shift_x", "shift_y", "shift_z"),
        *("scale_x#1", "scale_y#1", "scale_z#1", "scale_x#2", "scale_y#2", "scale_z#2"),
    )
    assert pipeline("jitter,dropout").columns == ()


@pytest.mark.parametrize("text", ["none", ALL, TWICE, "rotate(axis=x,degrees=12.5)"])
def test_a_description_survives_json(text):
    pipe = pipeline(text, seed=2**40 + 1, split="test")
    restored = Pipeline.restore(json.loads(json.dumps(pipe.describe())))
    assert restored == pipe
    assert restored.describe() == pipe.describe()


def test_a_description_tells_pipelines_apart():
    others = [
        pipeline(seed=6),
        pipeline(split="test"),
        pipeline("scale,shift"),
        pipeline("shift,scale"),
        pipeline("scale,shift(by=0.1)"),
        pipeline("rotate(axis=x)"),
        Pipeline(parse("rotate", "y"), 5),
        pipeline("rotate"),
    ]
    for left, right in combinations([pipeline(), *others], 2):
        assert left.describe() != right.describe()
    assert pipeline("rotate").describe()["operations"] == [
        {"name": "rotate", "version": 1, "axis": "z", "degrees": 180.0}
    ]


@pytest.mark.parametrize(
    "unknown", [{"name": "warp", "version": 2}, {"name": "scale", "version": 9, "median": 1.0}]
)
def test_operations_of_another_version_are_refused(unknown):
    description = pipeline().describe()
    description["operations"].append(unknown)
    name = f"{unknown['name']}@{unknown['version']}"
    with pytest.raises(RecordsError, match=f"{name} is not in this pointstill: install") as caught:
        Pipeline.restore(description)
    assert caught.value.exit_code == 1


# What a view is.


@pytest.mark.parametrize("text", [ALL, TWICE])
def test_a_view_equals_the_operations_by_hand(text, clouds):
    """Each operation's draws, keyed by its own name and occurrence, on one shape at a time."""
    pipe, count, number = pipeline(text), 24, 3
    result = view(pipe, clouds, count, number)
    for place, shape in enumerate(SHAPES.tolist()):
        one = torch.tensor([shape])
        rows = resample.sample(Key(5, "train", number, one, "resample#0"), clouds.sizes[one], count)
        points = clouds.take(one, rows)
        names: list[str] = []
        for operation in pipe.operations:
            tag = f"{operation.name}#{names.count(operation.name)}"
            names.append(operation.name)
            bits = Key(5, "train", number, one, tag).bits(operation.lanes(count))
            points = operation.apply(points, operation.sample(bits))
        np.testing.assert_allclose(result[place], points[0], atol=1e-6)


def test_no_operation_shows_the_normalised_points(clouds):
    pipe = pipeline("none")
    assert pipe.sample(0, SHAPES).shape == (4, 0)
    assert torch.equal(view(pipe, clouds), clouds.take(SHAPES, pipe.indices(clouds, 3, SHAPES, 32)))


@pytest.mark.parametrize("text", [ALL, TWICE])
def test_a_replay_from_parameters_is_bit_identical(text, clouds):
    pipe = pipeline(text)
    first = view(pipe, clouds)
    kept = pipe.sample(3, SHAPES).numpy().tobytes()  # as records keep them
    torch.manual_seed(99)
    state = torch.get_rng_state()
    parameters = torch.from_numpy(
        np.frombuffer(kept, np.float32).reshape(4, len(pipe.columns)).copy()
    )
    again = Pipeline.restore(pipe.describe()).replay(clouds, 3, SHAPES, parameters, 32)
    assert torch.equal(again, first)
    assert torch.equal(torch.get_rng_state(), state)  # nothing else was drawn


@pytest.mark.parametrize("text", [ALL, TWICE])
def test_parameters_are_applied_as_given(text, clouds):
    pipe = pipeline(text)
    parameters = pipe.sample(3, SHAPES)
    before = pipe.replay(clouds, 3, SHAPES, parameters, 32)
    parameters[1, 0] += 0.01
    after = pipe.replay(clouds, 3, SHAPES, parameters, 32)
    assert not torch.equal(after[1], before[1])
    assert torch.equal(after[[0, 2, 3]], before[[0, 2, 3]])


def test_repeated_operations_draw_apart(clouds):
    pipe = pipeline("scale,scale,scale")
    drawn = pipe.sample(0, torch.arange(7))
    assert len(drawn.unique()) == drawn.numel()
    once, twice = (view(pipeline(text), clouds) for text in ("jitter", "jitter,jitter"))
    plain = view(pipeline("none"), clouds)
    assert not torch.allclose(twice - once, once - plain, atol=1e-4)


def test_an_operation_draws_the_same_wherever_it_stands():
    alone, last = pipeline("shift"), pipeline("scale,jitter,mirror,shift")
    assert torch.equal(alone.sample(1, SHAPES), last.sample(1, SHAPES)[:, -3:])


@pytest.mark.parametrize("text", [ALL, TWICE])
def test_a_view_does_not_depend_on_its_batch(text, clouds):
    pipe = pipeline(text)
    together, drawn = view(pipe, clouds), pipe.sample(3, SHAPES)
    for place in range(4):
        one = SHAPES[place : place + 1]
        assert torch.equal(pipe.sample(3, one), drawn[place : place + 1])
        np.testing.assert_allclose(view(pipe, clouds, shapes=one)[0], together[place], atol=1e-6)
    turned = SHAPES.flip(0)
    np.testing.assert_allclose(view(pipe, clouds, shapes=turned), together.flip(0), atol=1e-6)


def test_views_seeds_and_splits_differ(clouds):
    views = [
        view(pipeline(), clouds),
        view(pipeline(), clouds, number=4),
        view(pipeline(seed=6), clouds),
        view(pipeline(split="test"), clouds),
    ]
    for left, right in combinations(views, 2):
        assert not torch.isclose(left, right).all(dim=2).any()


@pytest.mark.parametrize("text", ["none", ALL, TWICE, *OPERATIONS])
@pytest.mark.parametrize("count", [1, 8, 40, 100])
def test_a_student_sees_the_first_of_its_teachers_points(text, count, clouds):
    """Also more points than the cloud has, and also shaken or lost ones."""
    pipe = pipeline(text)
    student, teacher = view(pipe, clouds, count), view(pipe, clouds, 128)
    np.testing.assert_allclose(student, teacher[:, :count], atol=1e-6)


# What proves it.


@pytest.mark.parametrize("text", ["none", "scale,shift", ALL, TWICE])
def test_a_proof_is_the_sha256_of_indices_parameters_and_draws(text, clouds):
    """Made here shape by shape, so it does not depend on a batch either."""
    pipe, count = pipeline(text), 32
    indices, parameters, draws = [], [], {}
    for shape in SHAPES.tolist():
        one = torch.tensor([shape])
        indices.append(pipe.indices(clouds, 3, one, count).numpy().astype("<i4").tobytes())
        parameters.append(pipe.sample(3, one).numpy().astype("<f4").tobytes())
        names: list[str] = []
        for operation in pipe.operations:
            tag = f"{operation.name}#{names.count(operation.name)}"
            names.append(operation.name)
            if not operation.columns:
                bits = Key(5, "train", 3, one, tag).bits(operation.lanes(count))
                draws.setdefault(tag, []).append(bits.numpy().astype("<i8").tobytes())
    parts = [*indices, *parameters, *(each for rows in draws.values() for each in rows)]
    assert proof(pipe, clouds) == hashlib.sha256(b"".join(parts)).digest()


@pytest.mark.parametrize("text", ["none", "scale,shift", ALL])
def test_a_proof_changes_with_whatever_decides_a_view(text, clouds, ragged):
    points, offsets = ragged((41, 8, 334, 57, 64, 10, 121))
    proofs = [
        proof(pipeline(text), clouds),
        proof(pipeline(text, seed=6), clouds),
        proof(pipeline(text, split="test"), clouds),
        proof(pipeline(text), clouds, number=4),
        proof(pipeline(text), clouds, count=31),
        proof(pipeline(text), clouds, shapes=SHAPES[:3]),
        proof(pipeline(text), clouds, shapes=SHAPES.flip(0)),
        proof(pipeline(text), Clouds(points, offsets)),  # clouds of other sizes
        proof(pipeline(f"{text},dropout" if text != "none" else "dropout"), clouds),
    ]
    assert len(set(proofs)) == len(proofs)
    assert proof(pipeline(text), clouds) == proofs[0]


def test_a_proof_changes_with_any_bit_of_a_parameter(clouds):
    pipe = pipeline("scale,jitter,rotate")
    drawn = pipe.sample(3, SHAPES)
    proofs = {proof(pipe, clouds)}
    for row in range(4):
        for column in range(6):
            changed = drawn.clone()
            changed[row, column] = torch.nextafter(drawn[row, column], torch.tensor(9.0))
            proofs.add(proof(pipe, clouds, parameters=changed))
    assert len(proofs) == 1 + 4 * 6


def test_a_proof_changes_with_any_index_or_draw(clouds, monkeypatch):
    pipe = pipeline("scale,jitter,dropout")
    before = proof(pipe, clouds)

    def indices(self, *arguments):
        result = real_indices(self, *arguments).clone()
        result[2, 31] = (result[2, 31] + 1) % 8
        return result

    real_indices = Pipeline.indices
    monkeypatch.setattr(Pipeline, "indices", indices)
    assert proof(pipe, clouds) != before
    monkeypatch.undo()

    real_bits = Key.bits
    for tag in ("jitter#0", "dropout#0"):

        def bits(self, lanes, tag=tag):
            result = real_bits(self, lanes)
            if self.operation == tag:
                result[3, -1] ^= 1
            return result

        monkeypatch.setattr(Key, "bits", bits)
        assert proof(pipe, clouds, parameters=pipe.sample(3, SHAPES)) != before
        monkeypatch.undo()
    assert proof(pipe, clouds) == before


def test_moments_equal_the_loop(points):
    result = moments(points)
    assert result.shape == (5, 4)
    for b in range(5):
        cloud = points[b].double().numpy()
        norms = [np.sqrt((point**2).sum()) for point in cloud]
        expected = [*cloud.mean(axis=0), sum(norms) / len(norms)]
        np.testing.assert_allclose(result[b], expected, atol=1e-6)


def test_clouds_of_another_normalisation_are_refused(ragged):
    first = Pipeline((), seed=0, normalization=1)
    with pytest.raises(UsageError) as caught:
        view(first, Clouds(*ragged()))
    assert "clouds of normalization 2" in str(caught.value)
    assert "version=pipeline.normalization" in caught.value.fix
    assert view(first, Clouds(*ragged(), version=1)).shape == (4, 32, 3)
