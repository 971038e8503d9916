"""Pages of HTML, from templates that lie in the package beside the code that fills them."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

COLOURS = {
    "ink": "#23211d",
    "soft": "#6b675f",
    "line": "#e2ded5",
    "grey": "#8d8980",
    "blue": "#2f6f9f",
    "copper": "#b0562a",
    "red": "#c02f3a",
}
"""Of pages and figures, by light; `base.html` has others of the same names for the dark."""


def render(template: str, **values: Any) -> str:
    """Fill a template; text is escaped, and a name without a value is an error.

    Args:
        template: its path in the package, such as `demo/report.html`.
        **values: what it names.
    """
    environment = Environment(
        loader=PackageLoader("pointstill", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(colours=COLOURS, **values)
