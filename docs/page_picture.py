"""Draw `page.png`: the page of `pointstill page` in Chromium, with a cloud and what is said of it.

Run from the repository's root: `PYTHONPATH=. python docs/page_picture.py [--width 390] [--dark]
[--out FILE]`. It needs Chromium, playwright and what `make web` fetches.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks.local_site import served
from playwright.sync_api import sync_playwright

from pointstill.deployment.serving.site import write_site
from pointstill.deployment.serving.students import open_students
from pointstill.storage.packaged_students import packaged_students

PATIENCE = 300_000
"""Milliseconds, for a browser without a graphics card on a busy machine."""


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--sample", default="laptop")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("page.png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_site(open_students([each.path for each in packaged_students()]), Path(folder))
        with served(Path(folder)) as address:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--enable-unsafe-swiftshader"],
            )
            context = browser.new_context(
                viewport={"width": options.width, "height": 780},
                color_scheme="dark" if options.dark else "light",
            )
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            page.click(f"#samples button:has-text('{options.sample}')")
            page.wait_for_selector("body:not([aria-busy]) .card")
            page.wait_for_selector("#legend:not([hidden])")
            # How long an answer took says something of the machine that draws this, and no more.
            page.evaluate("document.querySelectorAll('.took').forEach((each) => each.remove())")
            page.screenshot(path=options.out, full_page=True)
            browser.close()


if __name__ == "__main__":
    main()
