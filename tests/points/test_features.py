"""Names of features, and what is said of wrong ones."""

import pytest

from pointstill.errors import UsageError
from pointstill.points.features import columns, format_features, parse_features, width


def test_names_come_as_text_or_as_a_list():
    wanted = ("xyz", "colour", "normal")
    assert parse_features(" xyz,Color ,normal") == parse_features(list(wanted)) == wanted
    assert parse_features(format_features(wanted)) == wanted


def test_widths_and_places():
    features = ("xyz", "height", "normal", "intensity", "colour")
    assert width(features) == 3 + 1 + 3 + 1 + 3
    numbers = "XYZhNNNiCCC"
    found = {name: numbers[place] for name, place in columns(features).items()}
    assert found == {
        "xyz": "XYZ",
        "height": "h",
        "normal": "NNN",
        "intensity": "i",
        "colour": "CCC",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xyz,y", "no feature is called 'y': choose from xyz, normal, colour, intensity, height"),
        ("xyz,1st", "and the names of the data's own columns"),
        ("normal,xyz", "xyz first"),
        ("xyz,normal,normal", "each once"),
        ("", "no feature is called ''"),
    ],
)
def test_wrong_names(text, message):
    with pytest.raises(UsageError, match=message):
        parse_features(text)
