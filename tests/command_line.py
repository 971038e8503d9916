"""What tests of the command line share; `cli` of conftest runs one."""

import re

SHORT = ["--epochs", "1", "--points", "64", "--batch-size", "16", "--device", "cpu"]


def squeezed(text: str) -> str:
    """Text without boxes and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())
