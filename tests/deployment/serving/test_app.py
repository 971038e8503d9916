"""What a server answers, and to whom."""

import io
import json
import socket

import numpy as np
import pytest
from measured_balls import measured_ball

from pointstill.deployment.serving.gate import POLICY
from pointstill.deployment.serving.students import open_students
from pointstill.errors import UsageError
from pointstill.points.upright import turn_up
from pointstill.storage.calibration import Calibration


@pytest.fixture
def points(solids):
    """A rod, (64, 3) float32."""
    return np.load(solids / "rod" / "00.npy")


def upload(client, name, content, **query):
    return client.post("/classify", files={"file": (name, content)}, params=query)


def npy(points):
    file = io.BytesIO()
    np.save(file, points)
    return file.getvalue()


def test_an_upload_is_answered_as_the_classifier_does(client, students, points):
    expected = students[0].classifier.predict(points, top=3)
    text = "\n".join(" ".join(map(repr, map(float, row))) for row in points).encode()
    for name, content in (("a.npy", npy(points)), ("A.XYZ", text), ("a b/../c.txt", text)):
        said = upload(client, name, content).json()
        assert said["points"] == len(points)
        (answer,) = said["answers"]
        assert answer["student"] == "student"
        assert [each["name"] for each in answer["classes"]] == [name for name, _ in expected]
        found = [each["probability"] for each in answer["classes"]]
        np.testing.assert_allclose(found, [share for _, share in expected], atol=1e-5)


def test_points_as_json(client, students, points):
    said = client.post("/classify?top=1", json={"points": points.tolist()}).json()
    name, share = students[0].classifier.predict(points)[0]
    (found,) = said["answers"][0]["classes"]
    assert found == {"name": name, "probability": pytest.approx(share, abs=1e-6)}
    assert "cloud" not in said


def test_another_axis_up(client, points):
    expected = upload(client, "a.npy", npy(points), details=True).json()
    turned = npy(turn_up(points, "z", "y"))
    said = upload(client, "a.npy", turned, details=True, up="y").json()
    assert said == expected
    assert upload(client, "a.npy", turned).json()["answers"] != expected["answers"]
    assert upload(client, "a.npy", turned, up="w").status_code == 422


def test_points_without_a_place_are_left_out_and_said_so(client, students, points):
    holed = np.vstack([points, np.full((5, 3), np.nan), [[np.inf, 0, 0]]])
    said = upload(client, "a.npy", npy(holed)).json()
    assert said["points"] == len(points)
    assert said["notes"] == ["6 points without finite coordinates were left out"]
    assert said["answers"] == upload(client, "a.npy", npy(points)).json()["answers"]


def test_details_show_the_cloud_and_its_parts(client, points):
    said = upload(client, "a.npy", npy(points + 1000), details=True).json()
    shown = np.array(said["cloud"]["points"])
    np.testing.assert_allclose(shown - shown[0], points - points[0], atol=1e-3)
    assert len(said["cloud"]["groups"]) == len(points)
    (answer,) = said["answers"]
    assert len(answer["parts"]) == max(said["cloud"]["groups"]) + 1 == 32
    assert said["cloud"]["strays"] == []


@pytest.mark.parametrize(
    ("name", "content", "status", "what"),
    [
        ("a.exe", b"MZ", 415, "no format"),
        ("passwd", b"root", 415, "no format"),
        ("../../etc/passwd", b"root", 415, "no format"),
        ("a.json", b'{"points": []}', 415, "no format"),
        ("a.npy\0.exe", b"", 415, "no format"),
        ("a.ply", b"ply\nnonsense", 422, "the file"),
        ("a.ply", b"", 422, "the file"),
        ("a.npy", npy(np.array([{}], dtype=object)), 422, "the file"),
        ("a.npy", npy(np.zeros((3, 3))), 422, "8"),
        ("a.npy", npy(np.zeros((20, 3))), 422, "all the same"),
        ("a.npy", npy(np.full((20, 3), np.nan)), 422, "8"),
        ("/etc/passwd.xyz", b"root:x:0:0", 422, "the file"),
    ],
)
def test_what_is_no_cloud(client, name, content, status, what):
    said = upload(client, name, content)
    assert said.status_code == status
    assert what in said.json()["what"]
    assert "/tmp" not in said.text
    assert "Traceback" not in said.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"points": 1}', "application/json", 422),
        (b'{"points": [[1, 2], [1]]}', "application/json", 422),
        (b'{"points": [["a", "b", "c"]]}', "application/json", 422),
        (json.dumps({"points": [[1e400, 0, 0]] * 9}).encode(), "application/json", 422),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data", 400),
        (b"--a\r\nnonsense", "multipart/form-data; boundary=a", 400),
        (b"", "application/x-www-form-urlencoded", 415),
    ],
)
def test_what_is_no_request(client, content, kind, status):
    said = client.post("/classify", content=content, headers={"content-type": kind})
    assert said.status_code == status
    assert set(said.json()) == {"what", "fix"}


def test_a_form_without_a_file_or_with_two(client, points):
    two = [("file", ("a.npy", npy(points))), ("file", ("b.npy", npy(points)))]
    assert client.post("/classify", files=two).status_code == 400
    assert client.post("/classify", files={"other": ("a.npy", b"")}).status_code == 400
    assert upload(client, "a.npy", npy(points), top=0).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        *("/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/index.html%00"),
        *("/site.json/..", "/vendor", "/samples/../site.json", "/..\\..\\etc\\passwd", "/~root"),
    ],
)
def test_no_path_leads_to_a_disk(client, path):
    address = client.base_url.host, client.base_url.port
    with socket.create_connection(address, timeout=10) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())  # as it is: clients would tidy it up
        assert connection.recv(12) == b"HTTP/1.1 404"


def test_the_page_and_its_policy(client):
    page = client.get("/")
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text
    assert "style=" not in page.text
    site = client.get("/site.json").json()
    assert [each["name"] for each in site["students"]] == ["student"]
    assert {"las", "ply"} <= set(site["formats"])
    for sample in site["samples"]:
        content = client.get(f"/{sample['file']}").content
        assert upload(client, sample["file"], content).status_code == 200


def test_health_counters_and_openapi(client, points):
    assert client.get("/healthz").json() == {"status": "ok"}
    before = client.get("/metrics").text
    upload(client, "a.npy", npy(points))
    client.get("/surely/not/there")
    after = client.get("/metrics").text
    line = 'pointstill_requests_total{route="/classify",status="200"} '
    counts = [float(text.partition(line)[2].partition("\n")[0] or 0) for text in (before, after)]
    assert counts[1] == counts[0] + 1
    assert "surely" not in after
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/classify", "/healthz", "/metrics"}
    content = paths["/classify"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    assert client.get("/docs").status_code == 404


def test_other_hosts_and_pages_of_other_sites(client):
    assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/healthz", headers={"host": "localhost:1"}).status_code == 200
    assert client.get("/healthz", headers={"host": "[::1]:8000"}).status_code == 200
    for origin, status in (
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:9", 403),
        (str(client.base_url).rstrip("/"), 422),
    ):
        said = client.post("/classify", json={}, headers={"origin": origin})
        assert said.status_code == status, origin


def test_a_token(serve):
    client = serve(token="a-secret-of-some-length")
    for path in ("/classify", "/site.json", "/metrics", "/openapi.json"):
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "a-secret"}):
            asked = client.post if path == "/classify" else client.get
            assert asked(path, headers=given).status_code == 401, path
    right = {"authorization": "Bearer a-secret-of-some-length"}
    assert client.get("/site.json", headers=right | {"host": "robot.lan"}).status_code == 200
    assert client.get("/healthz").status_code == client.get("/").status_code == 200
    assert "a-secret" not in client.get("/").text


def test_what_is_too_large(serve, points):
    client = serve(upload=1, most_points=1000)
    for size in (2 << 20, 8 << 20):
        said = upload(client, "a.ply", bytes(size))
        assert said.status_code == 413
        assert "1 MiB" in said.json()["what"]

    def parts():
        for _ in range(40):
            yield bytes(1 << 16)

    kind = {"content-type": "application/json"}
    assert client.post("/classify", content=parts(), headers=kind).status_code == 413
    said = upload(client, "a.npy", npy(np.random.default_rng(0).normal(size=(1001, 3))))
    assert said.status_code == 422
    assert "1,001 points" in said.json()["what"]
    assert upload(client, "a.npy", npy(points)).status_code == 200


def test_a_student_that_rejects_and_leaves_strays_out(students, client, points, monkeypatch):
    classifier = students[0].classifier
    logits = classifier.logits(points).astype(float)
    score = float(np.log(np.exp(logits).sum()))
    assert classifier.normalization == 2
    strayed = np.vstack([points, [[9, 9, 9]]])
    for threshold, unknown in ((score - 0.1, False), (score + 0.1, True)):
        monkeypatch.setattr(classifier, "calibration", Calibration(2.0, threshold))
        (said,) = upload(client, "a.npy", npy(points)).json()["answers"]
        assert said["unknown"] is unknown
        assert said["score"] == pytest.approx(score, abs=1e-4)
        expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
        assert said["classes"][0]["probability"] == pytest.approx(expected.max(), abs=1e-5)
    cloud = upload(client, "a.npy", npy(strayed), details=True).json()["cloud"]
    assert cloud["strays"] == [len(points)]
    assert cloud["groups"][-1] == -1
    assert min(cloud["groups"][:-1]) == 0


def test_a_student_with_channels(serve, measuring):
    students = open_students([measuring])
    (client, classifier) = serve(others=students), students[0].classifier
    assert client.get("/site.json").json()["samples"] == []
    rows = measured_ball(1, 5)
    text = (
        ",".join(rows.dtype.names) + "\n" + "\n".join(",".join(map(repr, r)) for r in rows.tolist())
    )
    renamed = {
        "doppler" if name == "v_r" else name: rows[name].tolist() for name in rows.dtype.names
    }
    expected = classifier.predict(rows, top=2)
    for said in (
        upload(client, "a.npy", npy(rows), details=True),
        upload(client, "a.csv", text.encode()),
        client.post("/classify", json={"points": renamed}),
    ):
        (answer,) = said.json()["answers"]
        found = [(each["name"], each["probability"]) for each in answer["classes"]]
        assert found == [(name, pytest.approx(share, abs=1e-6)) for name, share in expected]
        score = float(classifier.calibration.score(classifier.logits(rows)))
        assert classifier.calibration.typical
        assert answer["score"] == pytest.approx(score, rel=1e-5)
        assert answer["unknown"] is not bool(classifier.calibration.known(classifier.logits(rows)))
    refused = upload(client, "a.csv", text.replace("v_r", "speed").encode())
    assert refused.status_code == 422
    assert "no column v_r" in refused.json()["what"]
    refused = upload(client, "a.csv", text.replace("time", "hour").encode())
    assert refused.json()["what"] == "the cloud has no time, which measuring takes of each point"


def test_channels_stay_with_their_points_when_another_axis_is_up(serve, measuring):
    client = serve(others=open_students([measuring]))
    rows = measured_ball(0, 6)
    turned = rows.copy()
    for kind in ("", "n"):
        turned[f"{kind}y"], turned[f"{kind}z"] = rows[f"{kind}z"], -rows[f"{kind}y"]
    expected = upload(client, "a.npy", npy(rows)).json()["answers"]
    found = upload(client, "a.npy", npy(turned), up="y").json()["answers"]
    assert found[0]["score"] == pytest.approx(expected[0]["score"], abs=1e-4)


def test_students_of_columns_with_other_names(measuring, student_onnx):
    with pytest.raises(UsageError, match="doppler=v_r and as here"):
        open_students([measuring, student_onnx])
