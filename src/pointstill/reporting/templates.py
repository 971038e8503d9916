"""Pages of HTML, from templates that lie in the package beside the code that fills them."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

COLOURS = {
    "ink": "#23211d",
    "soft": "#6b675f",
    "line": "#e2ded5",
    "grey": "#8d8980",
    "blue": "#2f6f9f",
    "copper": "#b0562a",
    "red": "#c02f3a",
}
"""Of pages and figures, by light."""
DARK = {
    "ink": "#ebe7df",
    "soft": "#a29c91",
    "line": "#35322d",
    "grey": "#8f8a80",
    "blue": "#6fb0de",
    "copper": "#e08a58",
    "red": "#f0737c",
}
"""The same in the dark."""


def render(template: str, **values: Any) -> str:
    """Fill a template; text is escaped, and a name without a value is an error.

    A page loads nothing, by its own policy too, and runs the script that it is given, if any.

    Args:
        template: its path in the package, such as `demo/report.html`.
        **values: what it names; `script` is that of `script_of`.
    """
    environment = Environment(
        loader=PackageLoader("pointstill", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sha256"] = _sha256
    return environment.get_template(template).render(colours=COLOURS, dark=DARK, **values)


def script_of(name: str) -> Markup:
    """A script of this folder, by the name of its file, for `render`."""
    return Markup(Path(__file__).with_name(name).read_text("utf-8"))


def _sha256(script: str) -> str:
    """What names a script in the policy of a page: SHA-256, in base 64."""
    return b64encode(sha256(script.encode()).digest()).decode()
