"""Extend: a store of more views is the one that was recorded with so many, and loses nothing."""

import shutil
from pathlib import Path

import pytest

import stand_ins
from pointstill.errors import RecordsError, UsageError
from pointstill.recording.maintenance import extend
from stand_ins import Killed, Toy, countdown, files, run

surroundings, made, data = stand_ins.surroundings, stand_ins.made_in_codecs, stand_ins.data
plain = stand_ins.plain


@pytest.mark.parametrize("keyed", [True, False])
def test_extending_gives_the_store_of_more_views(tmp_path, data, keyed):
    longer = run(tmp_path / "longer.zarr", data, views=5, keyed=keyed)
    store = run(tmp_path / "r.zarr", data, views=2, keyed=keyed)
    before = store.fingerprint
    store = extend(store.path, Toy(), data, views=5, quiet=True)
    assert files(store.path) == files(longer.path)
    assert (store.fingerprint, store.views) == (longer.fingerprint, 5)
    assert store.fingerprint != before
    with pytest.raises(UsageError, match="has 5 views: give more"):
        extend(store.path, Toy(), data, views=4, quiet=True)


def test_an_extension_by_another_teacher_changes_nothing(plain, data):
    before, other = files(plain.path), Toy()
    other.fingerprint = "beef"
    with pytest.raises(RecordsError, match=r"teacher\.fingerprint"):
        extend(plain.path, other, data, views=9, quiet=True)
    assert files(plain.path) == before


def test_an_extension_that_is_killed_goes_on(tmp_path, made, data, monkeypatch):
    """At any step of any write; what was recorded before stays readable or is named to repair."""
    longer = files(run(tmp_path / "longer.zarr", data, views=4).path)
    for count in range(0, 200, 3):
        path, step = tmp_path / f"{count}.zarr", countdown(count)
        shutil.copytree(made / "float16", path)
        with monkeypatch.context() as patch:
            for name in ("open", "replace"):
                real = getattr(Path, name)

                def method(self, *arguments, real=real, step=step, **options):
                    if real.__name__ == "replace" or arguments[:1] in (("wb",), ("a",)):
                        step()
                    return real(self, *arguments, **options)

                patch.setattr(Path, name, method)
            try:
                extend(path, Toy(), data, views=4, quiet=True)
            except Killed:
                pass
            else:
                break
        assert files(extend(path, Toy(), data, views=4, quiet=True).path) == longer, count
    assert count > 10
