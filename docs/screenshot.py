"""Take the manual's screenshot of the explorer: needs the extra `browser` and Chromium."""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

TARGET = Path(__file__).parent / "screenshots" / "explore.png"
READY = """() => {
    const page = Bokeh.documents[0];
    const diagram = page?.get_model_by_name('diagram')?.renderers[0].data_source.data.phase[0];
    return diagram?.shape[0] === 256 && page.get_model_by_name('message').text.includes(' ms');
}"""
"""Whether the page holds its full diagram."""


def main() -> None:
    """Serve the explorer, look at its first page in Chromium, and keep what is seen."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    command = [sys.executable, "-m", "selfstab.cli", "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as drive:
        try:
            address = re.search(r"http://\S+", server.stdout.readline()).group()
            browser = drive.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.wait_for_function(READY, timeout=300_000)
            page.wait_for_timeout(500)
            with Image.open(io.BytesIO(page.screenshot())) as picture:
                # No palette of fewer colours: those of the phases must stay.
                picture.convert("RGB").save(TARGET, optimize=True)
            browser.close()
        finally:
            server.terminate()
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
