"""The command line: where it listens, and who may ask."""

import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from pointstill.deployment.serving import server
from pointstill.errors import PointstillError, UsageError


def test_served_until_a_signal(student_onnx):
    command = [sys.executable, "-m", "pointstill", "serve", str(student_onnx), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        url = re.search(r"serving student at (http://127\.0\.0\.1:\d+/)$", line)
        assert url, line
        with urllib.request.urlopen(f"{url[1]}healthz", timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def test_elsewhere_a_token_is_asked_for(monkeypatch):
    monkeypatch.delenv(server.TOKEN, raising=False)
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        assert server._token(host) is None
    made = {server._token(host) for host in ("0.0.0.0", "::", "192.168.0.2", "robot.lan")}
    assert len(made) == 4
    assert all(len(token) >= 32 for token in made)
    monkeypatch.setenv(server.TOKEN, "a-token-of-my-own")
    assert server._token("0.0.0.0") == server._token("127.0.0.1") == "a-token-of-my-own"
    for short in ("", "short", "with a line\nbreak in it"):
        monkeypatch.setenv(server.TOKEN, short)
        with pytest.raises(UsageError, match="is no token"):
            server._token("127.0.0.1")


def test_no_place_to_listen():
    with pytest.raises(UsageError, match="--port is 70000"):
        server.listening("127.0.0.1", 70_000)
    with pytest.raises(UsageError, match="no address"):
        server.listening("no such host.invalid", 0)
    taken = server.listening("127.0.0.1", 0)
    with taken, pytest.raises(PointstillError, match="nobody may listen"):
        server.listening("127.0.0.1", taken.getsockname()[1])


def test_without_the_extra(cli, student_onnx, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, said = cli("serve", student_onnx)
    assert code == 2
    assert "pointstill[serve]" in said


def test_no_torch_is_loaded(student_onnx):
    code = "import sys, pointstill.deployment.serving.server; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "False"
