"""Take the manual's screenshots, all or those named: needs the extra `browser` and Chromium."""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
READY = """() => {
    const page = Bokeh.documents[0];
    const diagram = page?.get_model_by_name('diagram')?.renderers[0].data_source.data.phase[0];
    return diagram?.shape[0] === 256 && page.get_model_by_name('message').text.includes(' ms');
}"""
"""Whether the explorer holds its full diagram."""


def explore(browser: Any) -> bytes:
    """Serve the explorer, and return a picture of its first page."""
    command = [sys.executable, "-m", "selfstab.cli", "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = re.search(r"http://\S+", server.stdout.readline()).group()
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.wait_for_function(READY, timeout=300_000)
            page.wait_for_timeout(500)
            return page.screenshot()
        finally:
            server.terminate()


def story(browser: Any) -> bytes:
    """Return a picture of the story's second experiment."""
    page = browser.new_page(
        viewport={"width": 1000, "height": 800}, reduced_motion="reduce", color_scheme="light"
    )
    page.goto(f"{(DOCS / 'catapults.html').as_uri()}#momentum")
    return page.locator("#momentum .stage").screenshot()


SCREENSHOTS = {"explore": explore, "story": story}


def main(names: list[str]) -> None:
    """Look at pages in Chromium, and keep what is seen."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as drive:
        browser = drive.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name in names or SCREENSHOTS:
            target = DOCS / "screenshots" / f"{name}.png"
            with Image.open(io.BytesIO(SCREENSHOTS[name](browser))) as picture:
                # No palette of fewer colours: those of the phases must stay.
                picture.convert("RGB").save(target, optimize=True)
            print(f"wrote {target}")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
