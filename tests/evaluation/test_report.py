"""The page of an evaluation, on data whose names are hostile."""

import re
import shutil
import warnings
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from page_links import Links
from pointstill.data import Dataset, open_dataset
from pointstill.errors import UsageError
from pointstill.evaluation.report import (
    PICTURES,
    _Clouds,
    _kinds,
    headline,
    in_words,
    reliability,
    report_page,
    write_report,
)
from pointstill.evaluation.robustness import PointScore
from pointstill.evaluation.scoring import Evaluation, Pair, evaluate
from pointstill.storage.calibration import Calibration
from pointstill.teachers import NetworkTeacher
from pointstill.teachers.torch_module import TorchNetwork

HOSTILE = ["<img src=x onerror=hit()>", '" onmouseover="hit()', "</script><b>$x"]
"""Names of classes; Linux has no slash in a name, so the third is of a table of labels."""


class Guess(nn.Module):
    """Answers by chance, but always the same for a cloud."""

    def __init__(self, classes: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, classes)

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.linear(100 * points.std(1))
        return logits


def guessing(name: str, classes: list[str], seed: int) -> NetworkTeacher:
    return NetworkTeacher(
        spec=name,
        classes=tuple(classes),
        network=TorchNetwork(Guess(len(classes), seed).eval(), torch.device("cpu")),
        points=32,
        layout="bn3",
        output="logits",
        axes=None,
        columns=None,
        names=tuple(classes),
        fingerprint="f",
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three classes of 60 clouds, 12 of each to test on, in files of hostile names."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    lines = ["path,label"]
    for index in range(180):
        name = f"{index:03}<i>&'.npy"
        stretch = draw.uniform(0.2, 1, 3)
        np.save(folder / name, (draw.normal(size=(700, 3)) * stretch).astype(np.float32))
        label = HOSTILE[index % 3].replace('"', '""')
        lines.append(f'"{name}","{label}"')
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return open_dataset(folder)


@pytest.fixture(scope="module")
def evaluation(data: Dataset) -> Evaluation:
    """Two models, of which the second brings a temperature."""
    classes = list(data.classes)
    first, second = (guessing(f"runs/<{name}>", classes, i) for i, name in enumerate("ab"))
    fitted = replace(second, calibration=Calibration(temperature=3.0, shapes=40))
    return evaluate([first, fitted], data, quiet=True)


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, data: Dataset) -> str:
    points = [PointScore(each.name, {16: 0.25, 64: 0.5}) for each in evaluation.scores]
    return report_page(replace(evaluation, points=points), data)


def read(page: str) -> Links:
    links = Links()
    links.feed(page)
    assert not links.open
    return links


def test_the_page_is_complete_in_itself(page):
    links = read(page)
    assert links.loaded == []
    assert not re.search(r"https?://|@import|url\(", page)
    assert "nan" not in re.findall(r"[a-z]+", " ".join(links.text).lower())
    assert len(page) < 400_000


def test_only_its_own_script_may_run(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy
    assert policy[1].split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_names_are_text_wherever_they_stand(page):
    links = read(page)
    assert not {"img", "b", "i-"} & links.tags
    assert links.handlers == []
    text = "".join(links.text)
    for name in HOSTILE:
        assert name in text
    assert "runs/<a>" in text
    assert re.search(r"\d{3}<i>&'", text)


def test_figures_are_those_of_the_evaluation(page, evaluation):
    text = "".join(read(page).text)
    labels = evaluation.labels
    right = [
        [a == b for a, b in zip(s.predictions, labels, strict=True)] for s in evaluation.scores
    ]
    both = Counter(zip(*right, strict=True))
    row = [both[True, True], both[True, False], both[False, True], both[False, False]]
    (pair,) = evaluation.pairs
    assert row[1:3] == [pair.only_first, pair.only_second]
    assert "runs/<a> against runs/<b>" + "".join(map(str, row)) in text
    assert f"exact McNemar p = {pair.p_value:.3g}" in text
    for score in evaluation.scores:
        low, high = score.interval
        percent = f"{100 * score.overall_accuracy:.2f} ({100 * low:.1f}-{100 * high:.1f})"
        assert percent in text
    assert headline(evaluation) in text
    for kind, which in {
        "Only <a> errs": (0, 1),
        "Only <b> errs": (1, 0),
        "Both err": (0, 0),
    }.items():
        count = both[bool(which[0]), bool(which[1])]
        assert f"{kind}: {count} shape" in text


def test_bins_give_the_calibration_error(evaluation):
    for score in evaluation.scores:
        right = np.array(score.predictions) == np.array(evaluation.labels)
        for values, error in (
            (score.confidences, score.calibration_error),
            (score.tempered_confidences, score.tempered_error),
        ):
            if values is None:
                continue
            bins = [each for each in reliability(values, right) if each]
            assert sum(each.share for each in bins) == pytest.approx(1)
            gaps = sum(each.share * abs(each.accuracy - each.confidence) for each in bins)
            assert gaps == pytest.approx(error, abs=1e-5)
    plain, tempered = evaluation.scores
    assert plain.tempered_confidences is None
    assert np.all(np.array(tempered.tempered_confidences) <= np.array(tempered.confidences) + 1e-6)


def test_the_surest_mistakes_are_shown_and_the_others_counted(data):
    model = guessing("net", list(data.classes), 0)
    evaluation = evaluate(model, data, split="all", quiet=True)
    (score,) = evaluation.scores
    wrong = [
        confidence
        for answer, label, confidence in zip(
            score.predictions, evaluation.labels, score.confidences, strict=True
        )
        if answer != label
    ]
    assert len(wrong) > PICTURES
    page = report_page(evaluation, data)
    assert page.count('data-points="') == PICTURES
    text = "".join(read(page).text)
    assert f"{PICTURES} are shown, {len(wrong) - PICTURES} left out" in text
    shown = [int(share) for share in re.findall(r"✗ \S.*? (\d+)\N{NO-BREAK SPACE}%", text)]
    assert shown == [round(100 * each) for each in sorted(wrong, reverse=True)[:PICTURES]]


def test_a_cloud_is_that_of_its_name(data):
    """Also where all splits are measured as one."""
    classes = list(data.classes)
    evaluation = evaluate(guessing("net", classes, 0), data, split="all", limit=50, quiet=True)
    clouds = _Clouds(evaluation, data)
    parts = {data.split(name).fingerprint: data.split(name) for name in data.listed.splits}
    assert [part.fingerprint for part in clouds.parts] == [*parts]
    none = np.zeros(1)
    for place in range(50):
        about = clouds.about(place, none.astype(np.int64), none)
        assert about["shape"] == evaluation.names[place]
        assert about["name"] == classes[evaluation.labels[place]]
        number = int(evaluation.names[place].rpartition("/")[2][:3])
        assert about["name"] == HOSTILE[number % 3]


def test_kinds_of_mistakes_part_all_of_them():
    wrong = np.array([[1, 1, 0, 0, 1], [1, 0, 1, 0, 0], [1, 0, 0, 0, 0]], bool)
    for models in (1, 2, 3):
        some = wrong[:models]
        kinds = _kinds(["a", "b", "c"][:models], some)
        counted = np.sum([chosen for _, chosen in kinds], axis=0)
        assert counted.tolist() == some.any(axis=0).astype(int).tolist()


@pytest.mark.parametrize(
    ("pair", "groups", "words"),
    [
        (Pair("a", "b", 9, 1, 0.02, 0.08), None, "a is ahead of b by 8.0 points"),
        (Pair("a", "b", 1, 9, 0.02, -0.08), None, "b is ahead of a by 8.0 points"),
        (Pair("a", "b", 3, 2, 1.0, 0.01), None, "a and b do not clearly differ: +1.0 points"),
        # Where there are groups, the interval decides, whatever the test says.
        (Pair("a", "b", 9, 1, 0.02, 0.08, [-0.01, 0.2]), 12, "do not clearly differ"),
        (Pair("a", "b", 3, 2, 1.0, 0.01, [0.005, 0.02]), 12, "(95 % interval +0.5 to +2.0)"),
        (Pair("a", "b", 9, 1, 0.02, 0.08), 3, "+8.00 points (no interval of 3 groups)"),
    ],
)
def test_a_comparison_in_words(pair, groups, words):
    assert words in in_words(["a", "b"], pair, groups)


def test_models_of_one_name_are_told_apart(evaluation, data):
    one, other = (
        replace(score, name=f"{folder}/best")
        for folder, score in zip(("x", "y"), evaluation.scores, strict=True)
    )
    best = max(one, other, key=lambda score: score.overall_accuracy)
    said = headline(replace(evaluation, scores=[one, other]))
    assert said.startswith(f"The best of 2 models, {best.name}, gets ")


def test_other_data_are_refused(evaluation, data, solids):
    with pytest.raises(UsageError, match="is not what was evaluated on"):
        report_page(evaluation, open_dataset(solids))


def test_the_command_writes_it(cli, teacher_run, solids, tmp_path):
    report = tmp_path / "made" / "report.html"
    code, out, err = cli("evaluate", teacher_run, "--data", solids, "--report", report)
    assert code == 0, err
    assert f"report in {report}" in out
    assert "run gets" in report.read_text()


def test_a_place_that_cannot_be_written_is_told_before_any_work(cli, solids, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = cli(
        "evaluate", "no-such-run", "--data", solids, "--report", tmp_path / "file" / "r.html"
    )
    assert code == 1
    assert "cannot be written" in err


def test_a_link_is_not_followed(evaluation, data, tmp_path):
    (tmp_path / "link.html").symlink_to(tmp_path / "elsewhere.html")
    with pytest.raises(OSError, match="a link"):
        write_report(evaluation, data, Path(tmp_path / "link.html"))
    assert not (tmp_path / "elsewhere.html").exists()


# In a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program or not find_spec("playwright"):
        reason = "no Chromium, or playwright is not installed: the page is not opened in a browser"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_works_on_a_phone_and_by_keyboard(chromium, page, tmp_path, dark):
    """From the disk: nothing is asked for, nothing complains, and no name runs."""
    file = tmp_path / "report.html"
    file.write_text(page)
    context = chromium.new_context(
        viewport={"width": 390, "height": 800},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    opened, said, asked = context.new_page(), [], []
    opened.set_default_timeout(120_000)
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(file.as_uri(), timeout=120_000)
    assert opened.evaluate("document.documentElement.scrollWidth") == 390

    picture = "(canvas) => canvas.toDataURL()"
    cloud = opened.locator("canvas").first
    cloud.focus()
    before = cloud.evaluate(picture)
    drawn = cloud.evaluate(
        "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v)"
    )
    assert drawn
    opened.keyboard.press("ArrowLeft")
    assert cloud.evaluate(picture) != before
    opened.keyboard.press("Home")
    button = opened.locator("#turning")
    assert button.text_content() == "Turn"  # as the reader's system asks for no motion
    button.click()
    assert button.text_content() == "Stop turning"
    opened.wait_for_timeout(1000)
    cloud.scroll_into_view_if_needed()
    opened.wait_for_timeout(1000)
    button.click()
    assert cloud.evaluate(picture) != before
    assert said == []
    assert asked == [file.as_uri()]
    context.close()
