"""Files that carry their own digest: every change is found, what was sealed comes back."""

import hashlib
import json
import random

import pytest

from pointstill.storage.digests import (
    ZEROS,
    blank_seal,
    check_seal,
    digest,
    open_lines,
    seal,
    sealed_line,
    sealed_lines,
    with_trailer,
    without_trailer,
)

LINES = [{"epoch": number, "loss": 1 / (number + 1), "name": "été"} for number in range(5)]


def test_the_digest_is_that_of_the_whole_with_zeros_in_its_place():
    file = seal(f"a: 1\n# {blank_seal('run')}\n".encode())
    (digits,) = [word for word in file.decode().split() if len(word) == 64]
    assert hashlib.sha256(file.replace(digits.encode(), ZEROS.encode())).hexdigest() == digits
    assert digest("a: ", b"1") == hashlib.sha256(b"a: 1").hexdigest()


def test_every_flipped_bit_of_a_sealed_file_is_found_or_leaves_it_without_a_seal():
    file = with_trailer(random.Random(0).randbytes(300), "run")
    assert without_trailer(file) == (file[:300], "run")
    unsealed = 0
    for place in range(8 * len(file)):
        changed = bytearray(file)
        changed[place // 8] ^= 1 << place % 8
        try:
            unsealed += check_seal(bytes(changed)) is None
        except ValueError as error:
            assert str(error) == "differs from the SHA-256 that it carries"  # noqa: PT017
    assert 0 < unsealed <= 8 * len(f"of run sha256 {ZEROS}")


def test_what_is_cut_off_or_added_is_found():
    file = with_trailer(b"content", "run")
    for changed in (b"\n" + file, file + b"\n", file[:-1], file[1:]):
        with pytest.raises(ValueError, match="differs from the SHA-256"):
            check_seal(changed)


def test_a_file_without_a_seal_and_one_with_two():
    assert check_seal(b"of run sha256 1234") is None
    assert without_trailer(b"content") == (b"content", None)
    with pytest.raises(ValueError, match="no seal"):
        seal(b"content")
    twice = f"{blank_seal('a')}\n{blank_seal('b')}".encode()
    for function in (seal, check_seal):
        with pytest.raises(ValueError, match="more than one"):
            function(twice)


def test_lines_come_back():
    text = sealed_lines(LINES, "run")
    assert open_lines(text, "run") == (LINES, True)
    assert open_lines("", "run") == ([], False)
    plain = "".join(json.dumps(line) + "\n" for line in LINES)
    assert open_lines(plain, "run") == (LINES, False)
    line, before = sealed_line(LINES[0], "run")
    again, _ = sealed_line(LINES[1], before)
    assert text.splitlines()[:2] == [line, again]
    assert json.loads(line) == LINES[0] | {"sha256": before}


def test_lines_that_are_changed_gone_or_moved_are_found():
    lines = sealed_lines(LINES, "run").splitlines()
    damaged = {
        "another run's": (lines, "other"),
        "first gone": (lines[1:], "run"),
        "middle gone": (lines[:2] + lines[3:], "run"),
        "swapped": ([lines[0], lines[2], lines[1], *lines[3:]], "run"),
        "twice": ([lines[0], *lines], "run"),
        "changed": ([lines[0].replace("1.0", "1.1"), *lines[1:]], "run"),
        "unsealed": ([json.dumps(LINES[0]), *lines[1:]], "run"),
        "respaced": ([lines[0].replace(", ", ","), *lines[1:]], "run"),
    }
    for name, (changed, what) in damaged.items():
        with pytest.raises(ValueError, match=r"line \d differs from"):
            open_lines("\n".join(changed), what), name
    with pytest.raises(ValueError, match="no JSON object"):
        open_lines("[1]\n", "run")
