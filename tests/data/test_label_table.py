"""`labels.csv` beside clouds: what it says, and what is refused of it."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from pointstill.data import open_dataset
from pointstill.errors import DataError, UsageError


@pytest.fixture
def folder(tmp_path, clouds) -> Path:
    """Twelve clouds at three depths, without a table."""
    root = tmp_path / "table"
    for i in range(12):
        path = root / ("", "a", "a/b")[i % 3] / f"{i:02}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, clouds(10, seed=i))
    return root


def paths(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.npy"))


def write(folder, *columns, header="path,label", end="\n", encoding="utf-8") -> None:
    """A table of all clouds, with a column for each function of the number of a cloud."""
    mark = max(",;\t", key=header.count)
    lines = [header] + [
        mark.join([path, *(str(column(int(Path(path).stem))) for column in columns)])
        for path in paths(folder)
    ]
    (folder / "labels.csv").write_text(end.join(lines) + end, encoding, newline="")


def kind(i: int) -> str:
    return ("cone", "ring", "cube")[i % 3]


def opened(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_dataset(folder, **options)


@pytest.mark.filterwarnings("ignore:.*has classes that", "ignore:.*of test are in train too")
def test_a_cloud_has_the_label_of_its_line(folder):
    write(folder, lambda i: "" if i == 7 else kind(i), lambda i: ("train", "test", "night")[i % 3],
          lambda i: f"p{i // 4}", header="path,label,split,group")  # fmt: skip
    with pytest.warns(UserWarning, match=r"3 of 3 groups \(group\) of night are in train too"):
        data = open_dataset(folder)
    assert (data.kind, data.up, data.classes) == ("label-table", "z", ("cone", "cube", "ring"))
    assert data.listed.splits == ("train", "test", "night")
    seen = []
    for name in data.listed.splits:
        split = data.split(name)
        assert split.names == sorted(split.names)
        for i, path in enumerate(split.names):
            number = int(Path(path).stem)
            assert name == ("train", "test", "night")[number % 3]
            np.testing.assert_array_equal(split.cloud(i), np.load(folder / path))
            label = split.classes[split.labels[i]] if split.labels[i] >= 0 else ""
            assert label == ("" if number == 7 else kind(number))
            assert split.groups[i] == f"p{number // 4}"
        seen += split.names
    assert sorted(seen) == paths(folder)
    with pytest.raises(UsageError, match="comes with its own train and test split"):
        open_dataset(folder, fold=2)


def test_every_way_to_write_it_is_one_table(folder):
    ways = [
        {},
        {"header": "path;label"},
        {"header": "Path\tLABEL "},
        {"end": "\r\n", "encoding": "utf-8-sig"},
        {"end": "\n\n"},
    ]
    found = set()
    for way in ways:
        write(folder, kind, **way)
        found.add(opened(folder).train.fingerprint)
    lines = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))  # turned about
    found.add(opened(folder).train.fingerprint)
    lines = [line if i == 0 else f'"./{line.replace(",", chr(34) + ",")}' for i, line in
             enumerate(line for line in lines if line)]  # fmt: skip
    (folder / "labels.csv").write_text("\n".join(lines))
    found.add(opened(folder).train.fingerprint)
    assert len(found) == 1


@pytest.mark.filterwarnings("ignore:.*has classes that")
def test_without_a_split_there_are_folds_of_whole_groups_where_asked(folder):
    write(
        folder, kind, lambda i: f"p{i % 4}", lambda i: f"s{i % 6}", header="path,label,group,site"
    )
    with pytest.warns(UserWarning, match="columns of labels.csv that have no meaning are not rea"):
        data = open_dataset(folder)
    assert (data.listed.folded, data.listed.groups) == (True, ("group", "site"))
    with pytest.warns(UserWarning, match="not read: site"):
        assert {*open_dataset(folder, group="group").train.groups} < {f"p{i}" for i in range(4)}
    tested = []
    for fold in range(5):
        data = open_dataset(folder, fold=fold, group="site")
        assert not {*data.train.groups} & {*data.test.groups}
        tested += data.test.names
    assert sorted(tested) == paths(folder)


def test_labels_may_be_numbers(folder):
    write(folder, lambda i: -1 if i == 3 else (2, 10, 9)[i % 3])
    data = opened(folder)
    assert data.classes == ("2", "9", "10")
    for split in (data.train, data.test):
        for name, label in zip(split.names, split.labels.tolist(), strict=True):
            number = int(Path(name).stem)
            assert label == (-1 if number == 3 else (0, 2, 1)[number % 3])


def test_a_table_without_a_label_opens_and_trains_nothing(folder, cli, tmp_path):
    write(folder, lambda i: "")
    data = opened(folder)
    assert (data.classes, {*data.train.labels.tolist()}) == ((), {-1})
    code, out, err = cli("data", "info", folder)
    assert (code, err) == (0, "")
    assert "classes  0\n" in out
    code, _, err = cli("train", "--model", "stillnet-n", "--data", folder, "--out", tmp_path / "r")
    assert (code, "has no shape with a label, so no classes" in err) == (1, True)


def test_it_wins_over_class_folders(scans):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_dataset(scans).kind == "folder"
        write(scans, lambda i: "odd" if i % 2 else "even")
        assert open_dataset(scans).classes == ("even", "odd")


def test_clouds_that_it_does_not_name_are_said(folder):
    write(folder, kind)
    np.save(folder / "a" / "b" / "more.npy", np.ones((9, 3)))
    with pytest.warns(UserWarning, match="labels.csv does not name 1 clouds, such as a/b/more.npy"):
        data = open_dataset(folder)
    assert len(data.train) + len(data.test) == 12


def replaced(folder, old, new) -> None:
    text = (folder / "labels.csv").read_text()
    assert old in text
    (folder / "labels.csv").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a/01.npy,", "../01.npy,", r"names '?\.\./01\.npy'?, which is no path in this folder"),
        ("a/01.npy,", "/etc/01.npy,", r"names '?/etc/01\.npy'?, which is no path in this folder"),
        ("a/01.npy,", ",", "which is no path in this folder"),
        ("a/01.npy,", "a/gone.npy,", r"names a/gone\.npy, which is not there: restore"),
        ("a/01.npy,", "a\\01.npy,", r"which is not there: .* with / between folders"),
        ("a/01.npy,", "a/04.npy,", r"names a/04\.npy in 2 lines: keep one of them"),
        ("a/01.npy,", "a/./04.npy,", r"names a/04\.npy in 2 lines"),
        ("a/01.npy,", "a,", "names a, which is no file of a cloud"),
        ("a/01.npy,ring", "a/01.npy,0.5", "labels such as 0.5, which are no whole numbers"),
        ("a/01.npy,ring", "a/01.npy,NaN", "labels such as NaN, which are no whole numbers"),
        ("a/01.npy,ring", "a/01.npy,Ring", "classes 'Ring' and 'ring', whose names differ in case"),
        ("a/01.npy,ring", "a/01.npy,ring,b", "has 3 fields in line .*, but 2 columns"),
        ("a/01.npy,ring", "a/01.npy,\"ring", "cannot be read in line"),
        ("a/01.npy,ring", f"a/01.npy,{'x' * 300}", "labels of more than 200 characters"),
        ("path,label", "file,class", r"no columns path and label \(its first line is 'file,class'"),
        ("path,label", "path,path", "several columns 'path'"),
    ],
)  # fmt: skip
def test_an_odd_table_is_refused_in_one_line(old, new, said, folder):
    write(folder, kind)
    replaced(folder, old, new)
    with pytest.raises(DataError, match=said) as caught:
        open_dataset(folder)
    assert "\n" not in str(caught.value)
    assert str(folder / "labels.csv") in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"path,label\n", b"\xff\xfe\x00p", b"path,label\n\x00,a\n"]
)
def test_a_table_of_nothing_is_refused(content, folder):
    (folder / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.csv (names|has no columns|is not in UTF-8)"):
        open_dataset(folder)


def test_links_that_lead_out_or_to_one_file_twice_are_refused(folder, tmp_path):
    shutil.move(folder / "a" / "01.npy", tmp_path / "01.npy")
    (folder / "a" / "01.npy").symlink_to(tmp_path / "01.npy")
    write(folder, kind)
    with pytest.raises(DataError, match=r"names a/01\.npy, which a link leads out of this folder"):
        open_dataset(folder)
    (folder / "a" / "01.npy").unlink()
    (folder / "a" / "01.npy").symlink_to("04.npy")
    with pytest.raises(DataError, match=r"names one file twice, by a link, as a/01.npy and a/04.n"):
        open_dataset(folder)
    (folder / "a" / "01.npy").unlink()
    shutil.copytree(folder / "a", tmp_path / "elsewhere")
    shutil.copy(folder / "00.npy", tmp_path / "elsewhere" / "01.npy")
    shutil.rmtree(folder / "a")
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"which a link leads out of this folder"):
        open_dataset(folder)


def test_a_split_that_is_none_is_refused(folder):
    for split, said in {
        "Test": "a split called Test: call it test",
        "training": "a split called training: call it train",
        "all": "a split called 'all'",
        "": "shapes without a split, and others with one",
        "a/b": "a split called 'a/b'",
    }.items():
        write(folder, kind, lambda i, split=split: split if i == 3 else "train",
              header="path,label,split")  # fmt: skip
        with pytest.raises(DataError, match=said):
            open_dataset(folder)
