"""Data by URL: fetched once, only what is asked for, whole or not at all, and read as always."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import s3_server
from pointstill.data import open_dataset
from pointstill.data.remote_folder import _leads_out
from pointstill.errors import DataError, RemoteError, UsageError
from pointstill.storage import object_store
from pointstill.teachers.compatibility import check_fold
from s3_server import Server, always, first, none

server, s3 = s3_server.server, s3_server.s3


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(object_store, "RETRY", object_store.RETRY | {"max_retries": 2})


def upload(s3: Server, folder: Path, url: str) -> str:
    for file in folder.rglob("*"):
        if file.is_file():
            s3.put(f"{url}/{file.relative_to(folder)}", file.read_bytes())
    return url


@pytest.fixture
def scans(make_solids, tmp_path) -> Path:
    """Class folders with a train and a test split, of 3 classes of 2 and 1 clouds."""
    root = tmp_path / "scans"
    make_solids(root / "train", each=2)
    make_solids(root / "test", each=1, first_seed=9)
    return root


def hdf5(root: Path) -> Path:
    """The layout of ModelNet40's HDF5 release: two files to train on, one to test on."""
    root.mkdir()
    draw = np.random.default_rng(0)
    (root / "shape_names.txt").write_text("ball\nbox\n")
    for split, numbers in (("train", (0, 1)), ("test", (0,))):
        names = [f"ply_data_{split}{number}.h5" for number in numbers]
        (root / f"{split}_files.txt").write_text("".join(f"data/x/{name}\n" for name in names))
        for name in names:
            with h5py.File(root / name, "w") as file:
                file["data"] = draw.normal(size=(5, 64, 3)).astype("f4")
                file["label"] = np.arange(5).reshape(-1, 1) % 2
    return root


def got(s3: Server) -> list[str]:
    """The names of the objects that were read since the last question."""
    names = [path.split("/", 3)[-1] for method, path in s3.log if path.count("/") > 2]
    s3.log.clear()
    return sorted(names)


def same(split, other) -> None:
    assert split.fingerprint == other.fingerprint
    assert split.names == other.names
    np.testing.assert_array_equal(split.points, other.points)


def test_only_the_split_that_is_asked_for_is_fetched_and_once(s3, scans, cache, tmp_path):
    url = upload(s3, scans, f"{s3.bucket()}/scans")
    data = open_dataset(f"{url}/", cache=cache)
    assert not got(s3)
    assert data.offers("test") == ["xyz", "height"]
    assert got(s3) == [f"test/{name}/00.npy" for name in ("ball", "box", "rod")]
    same(data.train, open_dataset(scans, cache=tmp_path / "other").train)
    names = [f"train/{name}/0{i}.npy" for name in ("ball", "box", "rod") for i in (0, 1)]
    assert got(s3) == names
    again = open_dataset(url, cache=cache)
    same(again.train, data.train)
    assert not got(s3)
    assert len(again.test) == 3
    assert not got(s3)
    assert not list(cache.rglob("*.partial"))


def test_modelnet_by_its_lists(s3, cache, tmp_path):
    folder = hdf5(tmp_path / "modelnet")
    url = upload(s3, folder, f"{s3.bucket()}/modelnet")
    data = open_dataset(url, cache=cache)
    assert (data.kind, data.classes, data.up) == ("modelnet-hdf5", ("ball", "box"), "y")
    assert got(s3) == ["shape_names.txt", "test_files.txt", "train_files.txt"]
    same(data.train, open_dataset(folder, cache=tmp_path / "other").train)
    assert got(s3) == ["ply_data_train0.h5", "ply_data_train1.h5"]
    with pytest.raises(UsageError, match=f"{url} comes with its own"):
        open_dataset(url, fold=1, cache=cache)


def test_a_variant_is_the_last_part_of_the_url(s3, cache, tmp_path):
    from pointstill.data.sources.scanobjectnn import CLASSES

    (tmp_path / "main_split").mkdir()
    for part in ("training", "test"):
        for suffix in ("", "_augmentedrot_scale75"):
            with h5py.File(tmp_path / f"main_split/{part}_objectdataset{suffix}.h5", "w") as file:
                file["data"] = np.random.default_rng(0).normal(size=(15, 64, 3)).astype("f4")
                file["label"] = np.arange(15)
    url = upload(s3, tmp_path / "main_split", f"{s3.bucket()}/nn/main_split").rpartition("/")[0]
    with pytest.raises(DataError, match=f"{url} has several variants of ScanObjectNN: .* obj_bg"):
        open_dataset(url, cache=cache)
    for above in (url, f"{url}/main_split"):
        data = open_dataset(f"{above}/pb_t50_rs", cache=cache)
        assert (data.kind, data.classes) == ("scanobjectnn", CLASSES)
        assert len(data.test) == 15


def test_what_changes_there_is_fetched_again(s3, scans, cache):
    url = upload(s3, scans, f"{s3.bucket()}/scans")
    before = open_dataset(url, cache=cache).train.fingerprint
    content = (scans / "train/ball/00.npy").read_bytes()
    s3.put(f"{url}/train/ball/00.npy", (scans / "train/ball/01.npy").read_bytes())
    s3.put(f"{url}/train/rod/01.npy", None)
    s3.log.clear()
    after = open_dataset(url, cache=cache).train
    assert len(after) == 5
    assert got(s3) == ["train/ball/00.npy"]
    s3.put(f"{url}/train/ball/00.npy", content)
    s3.put(f"{url}/train/rod/01.npy", (scans / "train/rod/01.npy").read_bytes())
    assert before != after.fingerprint
    assert open_dataset(url, cache=cache).train.fingerprint == before


@pytest.mark.parametrize("fault", [503, 403, "reset", "cut"])
def test_a_fetch_that_stops_goes_on_after_the_last_file(s3, scans, cache, tmp_path, fault):
    url = upload(s3, scans, f"{s3.bucket()}/scans")
    s3.fault = always(fault, "GET", "train/box/01.npy")
    data = open_dataset(url, cache=cache)
    with pytest.raises(RemoteError) as caught:
        _ = data.train
    assert str(caught.value).startswith((f"{url}/train/box/01.npy ", f"{url}/train/box/01.npy: "))
    assert "\n" not in str(caught.value)
    there = {file.name for file in cache.rglob("*.npy") if file.stat().st_size}
    assert not list(cache.rglob("*.partial"))
    assert there
    got(s3)
    s3.fault = first(2, fault, "GET", "train/box/01.npy") if fault != 403 else none
    same(open_dataset(url, cache=cache).train, open_dataset(scans, cache=tmp_path / "o").train)
    fetched = got(s3)
    assert "train/ball/00.npy" not in fetched
    assert "train/box/01.npy" in fetched


def test_a_killed_fetch_leaves_nothing_half(s3, scans, cache):
    """A file that was half written, one that was put in place but not noted, and half a note."""
    url = upload(s3, scans, f"{s3.bucket()}/scans")
    whole = open_dataset(url, cache=cache).train.fingerprint
    (folder,) = cache.glob("url-*")
    notes = (folder / "have.jsonl").read_text().splitlines()
    (folder / "have.jsonl").write_text("\n".join([*notes[:4], notes[4][:20]]))
    (folder / "scans/train/ball/01.npy").write_bytes(b"")
    (folder / "0123.partial").write_bytes(b"half")
    s3.log.clear()
    assert open_dataset(url, cache=cache).train.fingerprint == whole
    lost = {json.loads(note)[0] for note in notes[4:]} | {"train/ball/01.npy"}
    assert set(got(s3)) == lost


@pytest.mark.parametrize("damage", ["one byte", "cut off", "another shape"])
def test_a_damaged_listing_is_not_believed(s3, scans, cache, monkeypatch, damage):
    url = upload(s3, scans, f"{s3.bucket()}/scans")
    open_dataset(url, cache=cache).train  # noqa: B018
    (index,) = cache.glob("url-*/listing.json")
    whole = index.read_text()
    changed = whole.replace("ball/00", "ball/07", 1)
    content = {"one byte": changed, "cut off": whole[:-9], "another shape": "[]"}[damage]
    assert content != whole
    index.write_text(content)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="connection refused"):
        open_dataset(url, cache=cache)


@pytest.mark.parametrize("name", ["/etc/x.npy", "a/../../x.npy", "a\0.npy"])
def test_no_object_gets_a_file_elsewhere(name):
    assert _leads_out(name)
    assert not _leads_out("a/b..c/.d.npy")


def test_one_folder_too_high_is_told_by_url(s3, scans, cache):
    url = s3.bucket()
    upload(s3, scans, f"{url}/above/scans")
    with pytest.raises(DataError, match=f"{url}/above has no .*: give the folder below, {url}/ab"):
        open_dataset(f"{url}/above", cache=cache)


def test_without_a_network_what_was_fetched_is_read_and_said(s3, scans, cache, monkeypatch):
    url = upload(s3, scans, f"{s3.bucket()}/scans")
    whole = open_dataset(url, cache=cache).train.fingerprint
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match=f"{url}.* nothing answers .* taking what was fetched"):
        data = open_dataset(url, cache=cache)
    assert data.train.fingerprint == whole
    with pytest.raises(RemoteError, match="connection refused"):
        _ = data.test
    with pytest.raises(RemoteError, match="connection refused"):
        open_dataset(f"{url}-2", cache=cache)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    for fault, said in ((403, "access is denied"), (503, "fewer requests")):  # no way around these
        s3.fault = always(fault)
        with pytest.raises(RemoteError, match=said):
            open_dataset(url, cache=cache)


def test_nothing_known_is_there(s3, cache, tmp_path):
    url = s3.bucket()
    with pytest.raises(DataError, match=f"{url}/x holds nothing: check the URL"):
        open_dataset(f"{url}/x", cache=cache)
    s3.put(f"{url}/x/readme.md", b"hello")
    with pytest.raises(DataError, match=f"{url}/x has no known layout: give a folder that holds"):
        open_dataset(f"{url}/x", cache=cache)
    with pytest.raises(RemoteError, match="there is no such bucket"):
        open_dataset("s3://no-such-bucket/x", cache=cache)
    with pytest.raises(UsageError, match="choose a path, or a URL"):
        open_dataset("ftp://host/x", cache=cache)


def test_folders_that_are_objects_too(s3, scans, cache, tmp_path):
    """As consoles make them: an empty object with the name of a folder."""
    url = upload(s3, scans, f"{s3.bucket()}/scans")
    for name in ("", "train/", "train/ball/"):
        s3.put(f"{url}/{name}", b"")
    same(open_dataset(url, cache=cache).train, open_dataset(scans, cache=tmp_path / "o").train)


@pytest.mark.slow
def test_a_run_knows_its_data_by_url(s3, cli, make_solids, tmp_path):
    """Train on a folder without a split, by URL: the recipe names it, and folds do not mix."""
    from pointstill.run import Run

    folder = make_solids(tmp_path / "solids", each=5)
    url = upload(s3, folder, f"{s3.bucket()}/solids")
    asked = ("--data", url, "--epochs", 1, "--points", 32, "--out", tmp_path / "run")
    code, out, err = cli("train", "--model", "stillnet-n", *asked)
    assert code == 0, err
    assert f"fetch {url}: 12 of 12 files" in err
    assert f"--data {url}" in out
    run = Run(tmp_path / "run")
    assert run.recipe["data"] == url
    shutil.move(folder, tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="was trained on fold 0 of"):
        check_fold(run.trained_on, open_dataset(url, fold=1))
    copy = open_dataset(upload(s3, tmp_path / "elsewhere", f"{s3.bucket()}/copy"), fold=1)
    s3.fault = always(503)
    with pytest.raises(RemoteError, match="fewer requests"):  # nobody knows whether it is the same
        check_fold(run.trained_on, copy)
    s3.fault = none
    with pytest.raises(UsageError, match="was trained on fold 0 of"):
        check_fold(run.trained_on, copy)


def test_a_file_of_arrays_below_a_url_is_that_on_a_disk(s3, tmp_path):
    draw = np.random.default_rng(0)
    folder = tmp_path / "radar"
    folder.mkdir()
    np.savez(
        folder / "all.npz",
        points=draw.normal(size=(10, 16, 3)),
        labels=["a", "b"] * 5,
        split=["train"] * 6 + ["test"] * 2 + ["night"] * 2,
        who=np.arange(10),
    )
    (folder / "all.yaml").write_text("data: all.npz\ngroup: who\n")
    (folder / "movie.avi").write_bytes(b"never fetched" * 1000)
    url = upload(s3, folder, f"{s3.bucket()}/radar")
    for name in ("all.npz", "all.yaml"):
        there = open_dataset(folder / name)
        data = open_dataset(f"{url}/{name}")
        assert data.listed.splits == ("train", "test", "night")
        for split in data.listed.splits:
            assert data.split(split).fingerprint == there.split(split).fingerprint
    assert data.train.groups == [str(i) for i in range(6)]
    with pytest.raises(DataError, match=r"radar/gone\.npz is not there"):
        open_dataset(f"{url}/gone.npz")


def test_a_table_of_labels_below_a_url_is_read_before_the_clouds(s3, tmp_path):
    folder = tmp_path / "table"
    (folder / "a").mkdir(parents=True)
    draw = np.random.default_rng(0)
    lines = ["path,label,split"]
    for i in range(6):
        np.save(folder / "a" / f"{i}.npy", draw.normal(size=(12, 3)))
        lines.append(f"a/{i}.npy,{'xy'[i % 2]},{'train' if i < 4 else 'test'}")
    (folder / "labels.csv").write_text("\n".join(lines))
    data = open_dataset(upload(s3, folder, f"{s3.bucket()}/table"))
    assert data.test.fingerprint == open_dataset(folder).test.fingerprint
    fetched = [file for file in (data.source.folder.root / "a").iterdir() if file.stat().st_size]
    assert sorted(file.name for file in fetched) == ["4.npy", "5.npy"]
