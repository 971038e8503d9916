"""An error keeps its parts, joins them in one way, and comes whole out of another process."""

import pickle

import pytest

from pointstill import errors
from pointstill.errors import NoDataError, PointstillError, RecordsError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]
KINDS = [kind for kind in KINDS if issubclass(kind, PointstillError)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RecordsError("is damaged", where="r.zarr", fix="repair it"),
            "r.zarr is damaged: repair it",
        ),
        (RecordsError("is damaged", where="r.zarr"), "r.zarr is damaged"),
        (RecordsError("views is 0", fix="choose 1 or more"), "views is 0: choose 1 or more"),
        (RecordsError("views is 0"), "views is 0"),
        (RecordsError("is damaged", where="a\nb\tc\x1b"), r"a\nb\tc\x1b is damaged"),
    ],
)
def test_message(error, message):
    assert str(error) == message


@pytest.mark.parametrize("kind", KINDS)
def test_pickled(kind):
    error = kind("is damaged", where="r.zarr", fix="repair it")
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert (found.what, found.where, found.fix) == ("is damaged", "r.zarr", "repair it")


def test_but():
    error = NoDataError("is not there", where="scans", fix="check the path")
    other = error.but(where="clouds", fix=None)
    assert type(other) is NoDataError
    assert str(other) == "clouds is not there"
    assert str(error) == "scans is not there: check the path"
