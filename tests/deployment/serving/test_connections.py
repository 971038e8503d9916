"""Clients that are slow, many, or gone."""

import asyncio
import http.client
import json
import socket
import time

import numpy as np
import pytest

from pointstill.deployment.serving import connections


def connected(client):
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)


def read(connection):
    """What comes until the other side closes."""
    content = b""
    while part := connection.recv(1 << 16):
        content += part
    return content


HEAD = b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET /heal", HEAD])
def test_headers_that_do_not_come(client, monkeypatch, sent):
    monkeypatch.setattr(connections, "PATIENCE", 0.3)
    with connected(client) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        assert read(connection) == b""
        assert time.monotonic() - started < 5


def test_headers_that_do_not_come_after_an_answer(client, monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 0.3)
    with connected(client) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /hea")
        assert read(connection).count(b"HTTP/1.1") == 1


def test_a_connection_that_is_kept_is_used_again(client, monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 0.2)
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=20)
    connection.connect()
    connection.auto_open = 0
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status":"ok"}'
        time.sleep(0.4)
    connection.close()


def test_a_content_that_comes_too_slowly(serve):
    client = serve(seconds=1)
    with connected(client) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        started = time.monotonic()
        connection.sendall(b'{"points": [')
        said = read(connection)
        assert b"HTTP/1.1 408" in said
        assert b"did not arrive within 1 s" in said
        assert time.monotonic() - started < 10
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_content_that_announces_too_much(client, expect):
    with connected(client) as connection:
        connection.sendall(HEAD + expect + b"Content-Length: 99999999999\r\n\r\n")
        assert read(connection).startswith(b"HTTP/1.1 413")


def test_a_client_that_leaves(client):
    for sent in (HEAD + b"Content-Length: 1000\r\n\r\n[", HEAD + b"Content-Length: 2\r\n\r\n{}"):
        with connected(client) as connection:
            connection.sendall(sent)
    assert client.get("/healthz").status_code == 200


def test_many_at_once_are_answered_or_told_to_come_again(serve, students, solids):
    client = serve(readers=1, waiting=4)
    points = np.load(solids / "rod" / "00.npy")
    content = json.dumps({"points": points.tolist()}).encode()
    request = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(content) + content

    async def ask():
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    async def ask_all(count):
        return await asyncio.gather(*(ask() for _ in range(count)))

    answers = asyncio.run(ask_all(100))
    statuses = {int(answer.split()[1]) for answer in answers}
    assert statuses <= {200, 503}
    assert 200 in statuses
    for answer in answers:
        if answer.startswith(b"HTTP/1.1 503"):
            assert b"retry-after: 1" in answer.lower()
    assert client.post("/classify", content=content, headers={"content-type": "application/json"})
    assert "pointstill_uploads_inside 0.0" in client.get("/metrics").text
