"""The manual in a browser: no page scrolls sideways, nothing comes from elsewhere, formulas have their font."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

DOCS = Path(__file__).parents[2] / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (390, 1100, 1366, 1440)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def site():
    """Return the folder of the manual, built as ``make docs`` builds it; what is new already is not built again."""
    html = DOCS / "_build" / "html"
    options = ["--builder", "html", "--keep-going", "--fail-on-warning"]
    places = ["--doctree-dir", str(DOCS / "_build" / "doctrees"), str(DOCS), str(html)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, *places], cwd=DOCS.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return html


@pytest.fixture(scope="module")
def browser():
    """Return a browser's page, with the addresses that it asks for."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="not run: Playwright (extra 'browser') is missing"
    )
    if CHROMIUM is None:
        pytest.skip("not run: there is no Chromium on this machine")
    with playwright.sync_playwright() as drive:
        chromium = drive.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = chromium.new_page()
        page.addresses = []
        page.on("request", lambda request: page.addresses.append(request.url))
        yield page
        chromium.close()


def pages(site):
    """Return the pages of prose, and every tenth page that is generated from docstrings."""
    paths = sorted(path for path in site.rglob("*.html") if not {"_static", "_modules"} & {*path.parts})
    generated = [path for path in paths if "generated" in path.parts]
    return [path for path in paths if "generated" not in path.parts] + generated[::10]


def test_no_page_scrolls_sideways(site, browser):
    """Protects readers at laptops and phones: a wide table or formula scrolls in its own box."""
    wide = {}
    listed = pages(site)
    assert len(listed) > 60
    for path in listed:
        browser.set_viewport_size({"width": WIDTHS[0], "height": 900})
        browser.goto(path.as_uri(), wait_until="load")
        for width in WIDTHS:
            browser.set_viewport_size({"width": width, "height": 900})
            excess = browser.evaluate("document.documentElement.scrollWidth - innerWidth")
            if excess > 0:
                wide[str(path.relative_to(site)), width] = excess
    assert wide == {}


def test_nothing_comes_from_elsewhere(site, browser):
    """Protects who reads without network: pages ask for files of the manual only."""
    browser.addresses.clear()
    for name in ("index", "theory/a5_overshoot", "learn/first_catapult"):
        browser.goto((site / f"{name}.html").as_uri(), wait_until="load")
    assert len(browser.addresses) > 10
    assert {address.partition(":")[0] for address in browser.addresses} <= {"file", "data"}


def test_formulas_have_the_font_of_the_manual(site, browser):
    """Protects formulas where no mathematical font is installed: the manual brings one, and it is used."""
    browser.goto((site / "theory" / "a5_overshoot.html").as_uri(), wait_until="load")
    status = browser.evaluate(
        """async () => { await document.fonts.ready;
            const face = [...document.fonts].find(face => face.family.includes('Latin Modern Math'));
            return [face?.status, getComputedStyle(document.querySelector('math')).fontFamily]; }"""
    )
    assert status[0] == "loaded"
    assert status[1].startswith('"Latin Modern Math"')


def test_a_copied_example_can_be_pasted(site, browser):
    """Protects who presses the button: prompts and printed results are left out, and the code compiles."""
    browser.goto((site / "learn" / "first_catapult.html").as_uri(), wait_until="load")
    browser.wait_for_selector("button.copybtn", state="attached")
    browser.evaluate(
        """() => { window.copied = [];
            document.addEventListener('copy', () => window.copied.push(document.activeElement.value)); }"""
    )
    for button in browser.query_selector_all("button.copybtn"):
        button.evaluate("element => element.click()")
    copied = browser.evaluate("window.copied")
    assert len(copied) >= 5
    for text in copied:
        assert text.strip()
        assert ">>>" not in text
        compile(text, "<copied>", "exec")
    assert "array(" not in copied[0]


@pytest.mark.parametrize("page", ["learn/first_catapult", "learn/network", "tutorials/phase_diagram"])
def test_a_page_to_learn_from_shows_pictures(site, page):
    """Protects the first hour: what an example draws is seen."""
    text = (site / f"{page}.html").read_text(encoding="utf-8")
    assert text.count(f"{page.replace('/', '_')}_") >= 1
