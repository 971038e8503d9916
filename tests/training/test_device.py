"""Devices and precision by name."""

import ctypes
import os
import platform
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pointstill.errors import UsageError
from pointstill.training.device import keep_memory, pick_device, pick_precision, set_threads


def test_cpu_is_there():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "cpu:x"])
def test_no_such_device(name):
    with pytest.raises(UsageError, match="is not to be had here: choose auto or cpu") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)


def test_precision():
    cpu = torch.device("cpu")
    assert pick_precision("auto", cpu) == "32-true"
    assert pick_precision("bf16-mixed", cpu) == "bf16-mixed"


@pytest.mark.parametrize("supported", [True, False])
def test_half_precision_where_the_gpu_computes_in_it(supported, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    expected = "bf16-mixed" if supported else "32-true"
    assert pick_precision("auto", torch.device("cuda")) == expected


def test_threads():
    before = torch.get_num_threads()
    try:
        set_threads(3)
        assert torch.get_num_threads() == 3
        set_threads(0)
        assert torch.get_num_threads() == 3
        with pytest.raises(UsageError, match="threads is -1: choose 0 or more"):
            set_threads(-1)
        most = 4 * os.cpu_count()
        set_threads(most)
        for count in (most + 1, 99_999, 10**30):
            with pytest.raises(UsageError, match=f"threads is {count} on .*: choose {most} or few"):
                set_threads(count)
        assert torch.get_num_threads() == most
    finally:
        torch.set_num_threads(before)


def test_threads_that_no_machine_has(cli, solids, teacher_run, records, tmp_path):
    """By every verb that takes them, as a usage error, with nothing made."""
    out, data = tmp_path / "out", ["--data", solids]
    for tokens in (
        ["train", "--model", "stillnet-n", *data, "--out", out],
        ["distill", "--student", "stillnet-n", *data, "--records", records, "--out", out],
        ["record", "--teacher", teacher_run, *data, "--out", out],
        ["evaluate", teacher_run, *data],
        ["teacher", "describe", "--teacher", teacher_run, *data, "--out", out],
        ["records", "estimate", "--teacher", teacher_run, *data],
        ["records", "verify", records, "--teacher", teacher_run, *data],
        ["records", "repair", records, "--teacher", teacher_run, *data],
        ["records", "extend", records, "--views", 3, "--teacher", teacher_run, *data],
    ):
        code, _, err = cli(*tokens, "--threads", 99_999)
        assert (code, err.count("\n")) == (2, 1), tokens
        assert err.startswith("error: threads is 99999 on ")
    assert not out.exists()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_the_c_library_takes_the_options(monkeypatch):
    """What they bring is measured in docs/students.md; the system's own reclaim blurs a test."""
    library, told = ctypes.CDLL(None), {}

    def mallopt(option: int, value: int) -> int:
        told[option] = value
        taken: int = library.mallopt(option, value)
        assert taken == 1
        return taken

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    keep_memory()
    header = Path("/usr/include/malloc.h")
    if header.exists():
        numbers = dict(re.findall(r"#define (M_\w+)\s+(-?\d+)", header.read_text()))
        assert int(numbers["M_TRIM_THRESHOLD"]) in told
        assert int(numbers["M_MMAP_THRESHOLD"]) in told
    assert told == {-1: 2**31 - 1, -3: 32 * 2**20}


@pytest.mark.parametrize("missing", [AttributeError, OSError, TypeError])
def test_elsewhere_nothing_is_kept(monkeypatch, missing):
    """No such option, no such library, and none that is named by None, as on Windows."""
    asked = []

    def library(name: None) -> object:
        asked.append(name)
        if missing is AttributeError:
            return object()
        raise missing

    monkeypatch.setattr(ctypes, "CDLL", library)
    keep_memory()
    assert asked == [None]
