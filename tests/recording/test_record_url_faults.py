"""Faults on the way to a store by URL: tried again, or told in one line; never taken for data."""

import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from test_record_urls import refused, stored

import s3_server
from pointstill.errors import RecordsError, RemoteError, UsageError
from pointstill.recording.maintenance import repair
from pointstill.records import Store
from pointstill.records.folder_or_bucket import locate
from pointstill.records.merge_and_subset import merge
from pointstill.storage import object_store
from pointstill.storage.object_store import Remote
from s3_server import always, first, none
from stand_ins import Toy, files, run

server, s3 = s3_server.server, s3_server.s3
pytestmark = pytest.mark.usefixtures("surroundings")
SLOW = pytest.mark.slow


@pytest.fixture
def plain(s3, made) -> str:
    """The URL of a finished store, put there by another client."""
    url = f"{s3.bucket()}/plain.zarr"
    for name, content in files(made / "plain").items():
        s3.put(f"{url}/{name}", content)
    return url


@pytest.fixture
def impatient(monkeypatch):
    """Two tries instead of eleven."""
    monkeypatch.setattr(object_store, "RETRY", object_store.RETRY | {"max_retries": 1})


@pytest.mark.parametrize(
    "fault", [503, "cut", *(pytest.param(fault, marks=SLOW) for fault in (429, 500, "reset"))]
)
def test_faults_that_pass_are_tried_again(s3, data, made, fault):
    """Two of three times nothing is answered, all through a recording and the reading of it."""
    url, asked = f"{s3.bucket()}/r.zarr", Counter()

    def most(method: str, path: str) -> s3_server.Fault:
        asked[method, path] += 1
        return fault if asked[method, path] % 3 else None

    s3.fault = most
    store = run(url, data)
    there = Store.open(made / "plain")
    for view in range(store.views):
        np.testing.assert_array_equal(store.logits(view), there.logits(view))
    assert asked.total() > 150
    s3.fault = none
    assert stored(s3, url) == files(made / "plain")


SAID = {
    503: "it asks for fewer requests (throttling) after 2 tries: run the same command again",
    500: "the server fails after 2 tries: run the same command again, what is there stays",
    403: "access is denied (403): allow these credentials to list, read and write there",
    301: "the bucket is in another region: set AWS_REGION to that of the bucket",
    "reset": "the connection was broken after 2 tries: run the same command again",
    "cut": "the answer broke off: run the same command again",
}
QUICK = {("probe", 503)}


@pytest.mark.parametrize(
    "fault", ["reset", *(pytest.param(fault, marks=SLOW) for fault in (503, 500, 403, 301))]
)
def test_a_put_that_is_never_answered(s3, data, made, impatient, fault):
    """Before the store, inside its making, and inside a tile: said so, and gone on with."""
    for path in ("probe/zarr.json", "probe/c.1.1"):
        url = f"{s3.bucket()}/r.zarr"
        s3.fault = always(fault, "PUT", path)
        with pytest.raises(RemoteError) as caught:
            run(url, data)
        refused(caught.value, f"{url}/{path}", SAID[fault])
        s3.fault = none
        if "/c." in path:
            left = Store.open(url).missing()
            assert [(tile.view, tile.number) for tile in left] == [(1, 1), (1, 2)]
        run(url, data)
        assert stored(s3, url) == files(made / "plain")


@pytest.mark.parametrize(
    ("array", "fault"),
    [
        pytest.param(array, fault, marks=() if (array, fault) in QUICK else SLOW)
        for array in ("logits", "probe")
        for fault in SAID
    ],
)
def test_a_get_that_is_never_answered_is_not_a_missing_chunk(
    s3, plain, data, made, impatient, tmp_path, fault, array
):
    store = Store.open(plain)
    s3.fault = always(fault, "GET", f"/{array}/c.1.1.0")
    readers = {
        "logits": (lambda: store.logits(1), lambda: store.stored(list(store.tiles())[4])),
        "probe": (store.committed, store.missing, store.recorded_tiles),
    }[array]
    for read in (*readers, store.damaged, lambda: repair(plain, Toy(), data, quiet=True)):
        with pytest.raises(RemoteError) as caught:
            read()
        refused(caught.value, f"{plain}/{array}/c.1.1.0", SAID[fault])
    if array == "probe":
        with pytest.raises(RemoteError):
            run(plain, data, Toy(lambda: pytest.fail("recorded again")))
    for out in (f"{s3.bucket()}/merged.zarr", tmp_path / "merged.zarr"):
        with pytest.raises(RemoteError):
            merge([plain, made / "plain"], out)
    assert not s3.objects(f"s3://{s3.last}")
    assert not list(tmp_path.glob("*merged*"))
    s3.fault = none
    assert stored(s3, plain) == files(made / "plain")


@pytest.mark.parametrize(
    ("name", "fault"),
    [("zarr.json", 503), ("spare.zip", "cut"), ("logits/zarr.json", 403), ("shapes/c.0", "reset")],
)
def test_a_header_that_cannot_be_had_is_not_called_damaged(s3, plain, data, impatient, name, fault):
    s3.fault = always(fault, "GET", f"/plain.zarr/{name}")
    for attempt in (Store.open, lambda url: run(url, data)):
        with pytest.raises(RemoteError) as caught:
            attempt(plain)
        refused(caught.value, f"{plain}/{name}")
        assert "repair" not in str(caught.value)


def test_a_chunk_that_is_not_there_is_missing_and_not_zeros(s3, plain):
    s3.put(f"{plain}/logits/c.1.1.0", None)
    store = Store.open(plain)
    with pytest.raises(
        RecordsError, match=r"view 1, shapes 4 to 7 lacks array logits \(file c\.1\.1\.0\)"
    ):
        store.logits(1)
    s3.put(f"{plain}/probe/c.1.1.0", None)
    assert [(tile.view, tile.number) for tile in store.missing()] == [(1, 1)]
    s3.put(f"{plain}/logits/c.0.0.0", b"short")
    with pytest.raises(
        RecordsError,
        match=r"view 0, shapes 0 to 3 cannot be read \(array logits, file c\.0\.0\.0: ",
    ):
        store.logits(0)


def test_a_bucket_that_goes_is_not_a_store_of_missing_chunks(s3, plain):
    store = Store.open(plain)
    bucket = plain.split("/")[2]
    for name in s3.objects(f"s3://{bucket}"):
        s3.put(f"s3://{bucket}/{name}", None)
    s3.client.delete_bucket(Bucket=bucket)
    for read in (store.missing, lambda: store.logits(0), lambda: Store.open(plain)):
        with pytest.raises(RemoteError) as caught:
            read()
        refused(caught.value, plain, "there is no such bucket: make it, or mend the URL")


def test_a_server_that_hangs(s3, plain, monkeypatch, impatient):
    store, go_on = Store.open(plain), threading.Event()
    monkeypatch.setattr(object_store, "TIMEOUTS", {"timeout": "200ms"})
    hanging = Store.open(plain)
    s3.fault = lambda method, path: 500 if go_on.wait(5) else None
    with pytest.raises(RemoteError) as caught:
        hanging.logits(0)
    go_on.set()
    s3.fault = none
    refused(caught.value, plain, "there was no answer in time after 2 tries")
    assert np.isfinite(store.logits(0)).all()


def test_without_credentials_nobody_waits_long(s3, plain, monkeypatch):
    """With the patience of a user: to be told at once, though a role is asked for with retries."""
    monkeypatch.setitem(object_store.RETRY, "backoff", {"init_backoff": timedelta(seconds=30)})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(
        RemoteError, match=f"{plain} cannot be used, as no credentials were found: set AWS_ACCESS_"
    ):
        Store.open(plain)
    assert time.monotonic() - started < 20


def test_credentials_and_addresses(s3, plain, data, monkeypatch, impatient):
    """One line each, with what to set; a host that is not there is tried again, not denied."""
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(RemoteError) as caught:
            Store.open(plain)
        refused(caught.value, plain, "connection refused", "check AWS_ENDPOINT_URL")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://nowhere.invalid")
        with pytest.raises(RemoteError) as caught:
            Store.open(plain)
        refused(caught.value, plain, "its host is not found")
    with monkeypatch.context() as patch:  # the region by its other name, or none
        patch.delenv("AWS_REGION")
        assert not Store.open(plain).missing()
        patch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
        patch.setenv("AWS_SESSION_TOKEN", "token")
        assert not Store.open(plain).missing()
    with pytest.raises(RemoteError, match="there is no such bucket"):
        run("s3://no-such-bucket/r.zarr", data)


def test_what_is_no_store_is_not_opened(s3):
    url = s3.bucket()
    with pytest.raises(RecordsError, match="is no record store"):
        Store.open(f"{url}/nothing")
    with pytest.raises(RecordsError, match="is no record store"):
        repair(f"{url}/nothing")


def test_urls_that_make_no_sense(cli, monkeypatch):
    for url in ("ftp://host/r.zarr", "s3:///r.zarr", "memory://r.zarr", "s3://bucket//r.zarr"):
        with pytest.raises(UsageError, match=url):
            locate(url)
    with pytest.raises(UsageError, match="give it as text"):
        locate(Path("s3://bucket/r.zarr"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "obstore", None)
        with pytest.raises(UsageError, match=r"needs obstore: pip install 'pointstill\[cloud\]'"):
            locate("s3://bucket/r.zarr")
        code, _, err = cli("records", "info", "s3://bucket/r.zarr")
    assert (code, err.count("\n")) == (2, 1)


def test_a_file_url_is_a_folder(tmp_path, data, made):
    store = run(f"file://{tmp_path}/a%20b.zarr", data)
    assert store.path == tmp_path / "a b.zarr"
    assert files(tmp_path / "a b.zarr") == files(made / "plain")


def test_patience(s3):
    """What is said in the documentation: sixteen tries, within three minutes."""
    assert object_store.RETRY["max_retries"] == 15
    assert object_store.RETRY["retry_timeout"] == timedelta(minutes=3)
    s3.fault = always(503)
    with pytest.raises(RemoteError, match="after 16 tries"):
        Remote(f"{s3.bucket()}/x").read("y")
    s3.fault = first(15, 503)
    with pytest.raises(FileNotFoundError):
        Remote(f"{s3.bucket()}/x").read("y")
