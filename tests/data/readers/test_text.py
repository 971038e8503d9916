"""Text as many programs write it: read rightly, or refused or warned of with the fix."""

import time
import warnings
from contextlib import suppress

import numpy as np
import pytest

from pointstill.data.readers import read_cloud, read_table
from pointstill.errors import DataError

POINTS = [(0.126, -0.132, 0.64), (0.105, -0.536, 0.362), (1.304, 0.947, -0.704), (-1, 0.04, 7.5)]


def lines(sep=",", form="{:.3f}", before=None, after=""):
    """The points as text; `before` makes a first column of the number of the line."""
    rows = [[form.format(value) for value in point] for point in POINTS]
    first = [[] if before is None else [str(before(i))] for i in range(len(rows))]
    return "".join(sep.join(a + b) + after + "\n" for a, b in zip(first, rows, strict=True))


def commas(text):
    return text.replace(".", ",")


def number(i):
    return i


READ = {
    "pandas.csv": ",x,y,z\n" + lines(before=number),
    "pandas, no names.csv": ",0,1,2\n" + lines(before=number),
    "pandas, named index.csv": "index,x,y,z\n" + lines(before=number),
    "pandas, tabs.txt": "\tx\ty\tz\n" + lines("\t", before=number),
    "pandas, blanks.txt": '"" x y z\n' + lines(" ", before=number),
    "R.txt": '"x" "y" "z"\n' + lines(" ", before=lambda i: f'"{i + 1}"'),
    "R, words.txt": '"x" "y" "z"\n' + lines(" ", before=lambda i: f'"tree {i}"'),
    "German Excel.csv": commas(lines(";")),
    "German Excel, names.csv": "X;Y;Z\n" + commas(lines(";")),
    "decimal commas, tabs.txt": commas(lines("\t")),
    "decimal commas, blanks.txt": commas(lines(" ")),
    "decimal commas, commas.txt": lines(", ").replace(".", ","),
    "decimal commas, quotes.csv": "x,y,z\n" + commas(lines(form='"{:.3f}"')).replace('","', '","'),
    "quotes.csv": '"x","y","z"\n' + lines(form='"{:.3f}"'),
    "quotes, no names.csv": lines(form='"{:.3f}"'),
    "quotes, blanks.txt": lines(" ", form='"{:.3f}"'),
    "percent.txt": "% x y z\n" + lines(" "),
    "percent, prose.txt": "% made by hand\n" + lines(" ") + "% the end\n",
    "slashes.txt": "// x y z\n" + lines(" "),
    "slashes, prose.txt": "// a scan\n" + lines(" "),
    "CloudCompare.txt": f"//X Y Z\n{len(POINTS)}\n" + lines(" "),
    "CloudCompare, more.txt": "//X Y Z R G B\n" + lines(" ", after=" 1 2 3"),
    "units.csv": "x [m],y [m],z [m]\n" + lines(),
    "units, blanks.txt": "x [m] y [m] z [m]\n" + lines(" "),
    "units, round.csv": "X(m),Y(m),Z(m)\n" + lines(),
    "units, comment.txt": "# x [m], y [m], z [m]\n" + lines(" "),
    "ParaView.csv": '"Points:0","Points:1","Points:2"\n' + lines(),
    "ParaView, new.csv": "id,Points_0,Points_1,Points_2\n" + lines(before=number),
    "commas and blanks.csv": lines(", "),
    "last comma.csv": "x,y,z\n" + lines(after=","),
    "words behind.csv": lines(after=",chair"),
    "words before.csv": "label,x,y,z\n" + lines(before=lambda i: "chair"),
    "empty lines.txt": "\n\n" + lines(" ").replace("\n", "\n\n"),
    "carriage returns.csv": "x,y,z\r\n" + lines().replace("\n", "\r\n"),
    "old Mac.csv": "x,y,z\r" + lines().replace("\n", "\r"),
    "comment behind.txt": lines(" ", after=" # a corner"),
    "comment between.txt": lines(" ").replace("1.304", "# half\n1.304"),
    "names between blanks.csv": "x y z\n" + lines(),
}


@pytest.mark.parametrize("name", READ)
def test_legal_files_are_read_without_a_word(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(READ[name].encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_cloud(path), POINTS)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("decimals", [".", ","])
def test_encodings_with_a_byte_order_mark(encoding, decimals, tmp_path):
    text = "x\ty\tz\n" + lines("\t").replace(".", decimals)
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.txt"), POINTS)


def test_comments_may_be_of_any_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("# Größe\n".encode("latin1") + lines().encode())
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.csv"), POINTS)


REFUSED = {
    "index": (lines(before=number), "has a first column of whole numbers that increase (0, 1, "),
    "index with gaps": (lines(before=lambda i: 7 + 3 * i), "as of an index, and names no columns"),
    "index of whole numbers": ("0,126,-132,640\n1,105,-536,362\n2,9,8,7\n", "as of an index"),
    "too few names": ("x y z\n" + lines(" ", after=" 7"), "names 3 columns, but has 4: name every"),
    "decimal commas": (commas(lines()), "has commas between columns and within numbers: write"),
    "named decimal commas": ("x,y,z\n" + commas(lines()), "names 3 columns, but has 6 in line 2"),
    "thousands": ("1,234;5,678;9,012\n2,345;6,789;1,234\n", "may part thousands or decimals"),
    "thousands, raw": ("1,234.5,2,345.6,7\n1,034.5,2,345.6,7\n", "and within numbers"),
    "thousands, quotes": ('"1,234.5","2,345.1","3.0"\n', "line 1 ('1,234.5' is not a number)"),
    "points and commas": ("0,1;0,2;0,3\n0.1;0,2;0,3\n", "has points and commas in the numbers of"),
    "units": ("x [m],y [m],z [mm]\n" + lines(), "has x in m, y in m, z in mm: give all three in"),
    "name twice": ("x,y,z,X\n" + lines(after=",1"), "has several columns called x"),
    "more columns": ("0 0 1\n0 0 2 3\n", "line 2 (4 columns, 3 needed)"),
    "more and fewer": ("0 0 1\n0 0 2 3\n0 0\n", "line 2 (4 columns, 3 needed)"),
    "empty field": ("x\ty\tlabel\tz\n1\t2\t\t3\n", "has 3 in line 2"),
    "second scan": ("2\n0 0 1\n0 0 2\n2\n0 0 3\n0 0 4\n", "line 4 (1 columns, 3 needed)"),
    "fewer announced": ("2\n0 0 1\n0 0 2\n0 0 3\n", "announces 2 points, but has 3"),
    "names again": ("x,y,z\n0,0,1\nx,y,z\n", "line 3 ('x' is not a number)"),
    "hex": ("0 0 1\n0x1A 1 2\n", "line 2 ('0x1A' is not a number)"),
    "NUL": ("0 0 1\n\x001 1 2\n", r"line 2 ('\x001' is not a number)"),
    "names alone": ("0,1,2\n", "has no points"),
    "one line": ("1 " * 500_000, "letters in line 1, too many for a point"),
    "one line of commas": ("," * 900_000, "letters in line 1, too many for a point"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_sure_is_refused(name, tmp_path):
    text, message = REFUSED[name]
    (tmp_path / "a.txt").write_bytes(text.encode())
    with pytest.raises(DataError) as caught:
        read_cloud(tmp_path / "a.txt")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'a.txt'} ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message", "points"),
    [
        ("0,1,2\n" + lines(), "0,1,2, is taken for the names of columns, as pandas", POINTS),
        ("0,1,2,3\n" + lines(after=",0.5"), "is taken for the names of columns", POINTS),
        ("0 1 2\n5 4 3\n", "the first line, 0 1 2, is taken for a point", [[0, 1, 2], [5, 4, 3]]),
        ("5,0.5,0.2,0.1\n5,0.1,0.3,0.4\n", "whole numbers alone", [[5, 0.5, 0.2], [5, 0.1, 0.3]]),
        ("0,0.5,0.2\n1,0.1,0.3\n", "counts the lines", [[0, 0.5, 0.2], [1, 0.1, 0.3]]),
        (
            "# t x y z\n" + lines(" ", before=lambda i: 0.5, after=" 0.5 1"),
            "a comment names x, y and z, but not as many columns as there are (6)",
            None,
        ),
    ],
)  # fmt: skip
def test_what_may_be_meant_otherwise_is_warned_of(text, message, points, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.warns(UserWarning, match=r"^/.*a\.csv: ") as caught:
        found = read_cloud(tmp_path / "a.csv")
    assert message in str(caught[0].message)
    if points is not None:
        np.testing.assert_array_equal(found, points)


def test_a_feature_that_is_not_asked_for_does_not_matter(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,z,intensity\n" + lines(after=",low"))
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.csv"), POINTS)
    with pytest.raises(DataError, match="'low' is not a number"):
        read_table(tmp_path / "a.csv")


def test_all_lines_are_counted_however_they_are_parted(tmp_path, monkeypatch):
    """Against a loop, in blocks that are smaller than the file."""
    monkeypatch.setattr("pointstill.data.readers.text.BLOCK", 100)
    draw = np.random.default_rng(0)
    for sep in (" ", "  \t", ",", ", ", ";"):
        rows = [[f"{v:.2f}" for v in draw.normal(size=4)] for _ in range(50)]
        (tmp_path / "a.txt").write_text("\n".join(map(sep.join, rows)))
        assert len(read_cloud(tmp_path / "a.txt")) == 50
        for line in (17, 49):
            odd = [*rows[:line], rows[line][:3], *rows[line + 1 :]]
            (tmp_path / "a.txt").write_text("\n".join(map(sep.join, odd)))
            with pytest.raises(DataError, match=rf"line {line + 1} \(3 columns, 4 needed"):
                read_cloud(tmp_path / "a.txt")


MANY = np.random.default_rng(5).normal(size=(40, 3)).round(3)
STAMPS = 1625097600 + np.arange(40) / 10


def stamped(sep, stamps=STAMPS):
    rows = zip(stamps.tolist(), MANY.tolist(), strict=True)
    return "".join(sep.join(map(repr, [stamp, *point])) + "\n" for stamp, point in rows)


def test_names_as_rostopic_writes_them(read):
    text = "%time,field.header.seq,field.point.x,field.point.y,field.point.z\n"
    text += "".join(
        f"16250976{i:02}000000000,{i},{x},{y},{z}\n" for i, (x, y, z) in enumerate(MANY.tolist())
    )
    np.testing.assert_array_equal(read("points.csv", text), MANY)


@pytest.mark.parametrize(
    "text",
    [
        stamped(" "),
        stamped(",", 1e9 * STAMPS),
        "# timestamp tx ty tz\n" + stamped(" "),
        "# time, px, py, pz\n" + stamped(",", np.arange(40) / 7),
    ],
)
def test_times_are_no_x(text, read):
    with pytest.raises(DataError, match=r"times.*name every column"):
        read("scan.txt", text)


def test_large_coordinates_are_no_times(read):
    utm = MANY[np.argsort(MANY[:, 0])] * 1000 + [500_123_000, 4_654_321_000, 100_000]  # mm
    text = "".join(" ".join(map(repr, [*point, 7])) + "\n" for point in utm.tolist())
    np.testing.assert_array_equal(read("scan.txt", text), utm)


def test_names_between_tabs_may_have_blanks(read):
    text = "Point ID\tX\tY\tZ\tScalar field\n"
    text += "".join(f"{i}\t{x}\t{y}\t{z}\t0.5\n" for i, (x, y, z) in enumerate(MANY.tolist()))
    np.testing.assert_array_equal(read("scan.txt", text), MANY)


@pytest.mark.parametrize(
    "text", ["x" + " " * 60_000 + "y z\n1 2 3\n", "# y\n" * 230_000, "#" + " [" * 400_000]
)
def test_what_is_looked_at_for_names_is_bounded(text, read):
    start = time.process_time()
    with suppress(DataError):
        read("scan.txt", text)
    assert time.process_time() - start < 2
