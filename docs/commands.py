"""python docs/commands.py: writes the page of commands, commands.md, from the program itself."""

import re
from pathlib import Path

from pointstill.cli.commands import app

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Commands

Written by `python docs/commands.py` from the program itself; `pointstill COMMAND --help` says the
same. Exit codes: 0 done, 1 failed, 2 the command line is wrong, 128 + n ended by signal n.
"""


def page() -> str:
    """What Cyclopts says of the program, under a head of ours and without a table of contents."""
    text = app.generate_docs(output_format="markdown")
    listed = text.index("**Commands**:")
    # Where a heading has a flag, its anchor keeps the dashes.
    body = text[listed:].replace("(#pointstill-install-", "(#pointstill---install-")
    lines = (line.rstrip() for line in f"{HEAD}\n{body}".splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")
