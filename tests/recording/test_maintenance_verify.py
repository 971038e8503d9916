"""Verify: nothing wrong is passed over, and the tile that is wrong is named."""

import pytest
import torch
import zarr
from torch import Tensor

import stand_ins
from pointstill.data import open_dataset
from pointstill.errors import RecordsError
from pointstill.recording.maintenance import verify
from stand_ins import Toy, refused, scans

surroundings, made, data = stand_ins.surroundings, stand_ins.made_in_codecs, stand_ins.data
store, plain = stand_ins.store, stand_ins.plain


class Forgetful(Toy):
    """The same fingerprint, other logits."""

    def logits(self, points: Tensor) -> Tensor:
        return super().logits(points) + torch.tensor([0.0, 0.0, 0.5])


def test_what_was_recorded_verifies(store, data):
    found = verify(store, data, tiles=None, quiet=True)
    assert (found.tiles, found.sketch, found.kl, found.logit) == (9, 0, None, None)
    found = verify(store, data, teacher=Toy(), tiles=4, quiet=True)
    assert (found.tiles, found.kl, found.logit) == (4, 0, 0)
    assert str(found) == (
        "4 tiles replay within 0.0e+00; the teacher says the same within KL 0.0e+00, 0.0e+00 a "
        "logit"
    )


def test_a_teacher_that_says_otherwise_is_found_out(store, data):
    with pytest.raises(RecordsError) as caught:
        verify(store, data, teacher=Forgetful(), quiet=True)
    refused(caught.value, "9 of 9 tiles are wrong", "view 0, shapes 0 to 3: the teacher now says")
    assert verify(store, data, teacher=Forgetful(), tolerance=9.0, quiet=True).kl < 9


def test_the_tile_with_other_logits_is_named(plain, data):
    logits = zarr.open_array(plain.path / "logits", mode="r+")
    logits[1, 5, 0] += 3
    assert verify(plain, data, tiles=None, quiet=True).tiles == 9
    with pytest.raises(RecordsError) as caught:
        verify(plain, data, tiles=None, teacher=Toy(), quiet=True)
    refused(caught.value, "1 of 9 tiles are wrong (view 1, shapes 4 to 7", "logit differs by 3")


def test_a_wrong_parameter_a_broken_file_and_other_labels_are_named(plain, tmp_path, data):
    augment = zarr.open_array(plain.path / "augment", mode="r+")
    augment[2, 9, 0] *= 1.5
    (plain.path / "logits/c.0.0.0").write_bytes(b"")
    with pytest.raises(RecordsError) as caught:
        verify(plain, data, tiles=None, teacher=Toy(), quiet=True)
    refused(
        caught.value, "2 of 9 tiles are wrong", "file c.0.0.0", "view 2, shapes 8 to 9 does not"
    )
    plain.labels[3] ^= 1
    with pytest.raises(RecordsError, match="labels are not those of the data"):
        verify(plain, data, quiet=True)
    with pytest.raises(RecordsError, match=r"data\.fingerprint"):
        verify(plain, open_dataset(scans(tmp_path / "other", seed=1)), quiet=True)
