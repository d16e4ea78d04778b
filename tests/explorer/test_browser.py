"""The page in a real browser: sliders, the click, the files, and nothing from anywhere else."""

import subprocess
import sys
import zipfile
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import xarray

from tests.chromium import CHROMIUM, FLAGS
from tests.explorer.serving import serving

pytest.importorskip("bokeh", reason="not run: Bokeh (extra 'explore') is missing")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="not run: Playwright (extra 'browser') is missing"
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="not run: there is no Chromium on this machine")

WAIT = 180_000
"""Milliseconds: a kernel may have to be compiled, and a figure takes seconds of a processor that others use, too."""


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    """Return the page, once its first diagram is there, with what it asked for and complained about."""
    asked, complaints = [], []
    with serving() as (process, address), playwright.sync_playwright() as drive:
        context = drive.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            viewport={"width": 1280, "height": 800},
            accept_downloads=True,
        )
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(address, timeout=WAIT)
        port = urlsplit(address).port
        made = SimpleNamespace(
            page=page, asked=asked, complaints=complaints, port=port, address=address, process=process
        )
        settled(made, 256)
        yield made
        context.close()


FOUND = "globalThis.Bokeh?.documents[0]?.get_model_by_name('found')?.text"
"""What the page says of the run."""


def diagram(explorer):
    """Return the shape and the sum of the diagram's cells that the page holds."""
    return explorer.page.evaluate(
        """() => { const plot = Bokeh.documents[0].get_model_by_name('diagram');
                   const cells = plot.renderers[0].data_source.data.phase[0];
                   let sum = 0; for (const code of cells) sum += code;
                   return [cells.shape[0], sum]; }"""
    )


def settled(explorer, size):
    """Wait until the page holds a diagram of a size, and says what the last request took."""
    explorer.page.wait_for_function(
        """(size) => { const plot = Bokeh.documents[0]?.get_model_by_name('diagram');
                       const said = Bokeh.documents[0]?.get_model_by_name('message')?.text ?? '';
                       const shown = plot?.renderers[0].data_source.data.phase[0].shape[0];
                       return shown === size && said.includes(' ms'); }""",
        arg=size,
        timeout=WAIT,
    )
    explorer.page.wait_for_timeout(300)


def look(explorer, part):
    return explorer.page.locator(f"#{part}").screenshot()


def text(explorer, name):
    return explorer.page.evaluate("(name) => Bokeh.documents[0].get_model_by_name(name).text", name)


def press(explorer, name, key, times=1):
    handle = explorer.page.locator(f".widget-{name} .noUi-handle")
    handle.focus()
    for _ in range(times):
        handle.press(key)


def until(explorer, name, words):
    explorer.page.wait_for_function(
        "([name, words]) => Bokeh.documents[0].get_model_by_name(name).text.includes(words)",
        arg=[name, words],
        timeout=WAIT,
    )


def test_the_first_look_is_a_large_catapult(explorer):
    assert "</span>catapult" in text(explorer, "found")
    assert "theory" in text(explorer, "found")
    wide = "() => document.documentElement.scrollWidth <= window.innerWidth"
    assert explorer.page.evaluate(wide)
    explorer.page.set_viewport_size({"width": 900, "height": 700})
    explorer.page.wait_for_function(wide, timeout=WAIT)  # it is laid out anew in a moment
    explorer.page.set_viewport_size({"width": 1280, "height": 800})


def test_a_slider_changes_the_pictures(explorer):
    # Protects the loop: slider, run, picture; and the speed: β is an axis, so the diagram stays.
    before = [look(explorer, part) for part in ("plane", "sharpness", "loss", "orbits", "diagram")]
    cells, words = diagram(explorer), text(explorer, "found")
    press(explorer, "momentum", "ArrowLeft", 20)
    explorer.page.wait_for_function(
        "(words) => Bokeh.documents[0].get_model_by_name('found').text !== words", arg=words, timeout=WAIT
    )
    settled(explorer, 256)
    after = [look(explorer, part) for part in ("plane", "sharpness", "loss", "orbits", "diagram")]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True] * 5
    assert diagram(explorer) == cells


def test_what_is_no_axis_changes_the_diagram(explorer):
    cells = diagram(explorer)
    press(explorer, "flip", "ArrowRight", 10)
    explorer.page.wait_for_function(
        """(sum) => { const plot = Bokeh.documents[0].get_model_by_name('diagram');
                      const cells = plot.renderers[0].data_source.data.phase[0];
                      let now = 0; for (const code of cells) now += code;
                      return cells.shape[0] === 256 && now !== sum; }""",
        arg=cells[1],
        timeout=WAIT,
    )


def test_a_click_in_the_diagram_chooses_the_run(explorer):
    # Protects the map: in the upper right runs diverge, and the page says so in a word.
    box = explorer.page.locator("#diagram").bounding_box()
    explorer.page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.2 * box["height"])
    until(explorer, "found", "diverged at step")
    explorer.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.6 * box["height"])
    until(explorer, "found", "</span>catapult")
    beta = explorer.page.evaluate(
        "() => Bokeh.documents[0].get_model_by_name('diagram').renderers[2].data_source.data.x[0]"
    )
    assert 0.2 < beta < 0.7


def test_arrow_keys_in_the_diagram_choose_the_run(explorer):
    # Protects readers without a mouse: each key moves the mark by a sixty-fourth of the axis.
    page = explorer.page
    page.locator("#diagram").focus()
    mark = (
        "(({ x, y }) => [x[0], y[0]])"
        "(Bokeh.documents[0].get_model_by_name('diagram').renderers.at(-1).data_source.data)"
    )
    x, y = page.evaluate(mark)
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.wait_for_function(
        f"Math.abs({mark}[0] - {x} - 2 / 64) < 1e-9 && Math.abs({mark}[1] - {y} + 1 / 64) < 1e-9",
        timeout=WAIT,
    )


@pytest.fixture(scope="module")
def saved(explorer, tmp_path_factory):
    """Every file that the page offers, saved by the browser."""
    folder = tmp_path_factory.mktemp("saved")
    for label in ("PDF", "SVG", "PNG", "NetCDF", "CSV", "Python"):
        with explorer.page.expect_download(timeout=WAIT) as coming:
            explorer.page.get_by_role("button", name=label, exact=True).click()
        coming.value.save_as(folder / coming.value.suggested_filename)
    return folder


def test_every_file_is_saved(saved):
    assert (saved / "explored.pdf").read_bytes().startswith(b"%PDF")
    assert b"<svg" in (saved / "explored.svg").read_bytes()[:1000]
    assert (saved / "explored.png").read_bytes().startswith(b"\x89PNG")
    with zipfile.ZipFile(saved / "explored.zip") as tables:
        assert {*tables.namelist()} == {"run.csv", "diagram.csv", "orbits.csv"}
        assert len(tables.read("diagram.csv").splitlines()) == 1 + 256 * 256


def test_the_saved_script_makes_the_saved_data_and_figure(saved, tmp_path, same_bits):
    # Protects the export as a whole: the script, run by itself, writes the same bits.
    subprocess.run([sys.executable, str(saved / "explored.py")], cwd=tmp_path, check=True, timeout=300)
    for group in ("run", "diagram", "orbits"):
        with (
            xarray.open_dataset(saved / "explored.nc", group=group) as shown,
            xarray.open_dataset(tmp_path / "explored.nc", group=group) as made,
        ):
            assert set(shown.variables) == set(made.variables)
            for name, variable in shown.variables.items():
                if variable.dtype != object:
                    assert same_bits(variable.values, made[name].values), (group, name)
    for suffix in ("png", "svg", "pdf"):
        assert (saved / f"explored.{suffix}").read_bytes() == (tmp_path / f"explored.{suffix}").read_bytes()


def test_a_bad_formula_is_told_in_words(explorer):
    explorer.page.locator(".widget-model select").select_option("Formula")
    field = explorer.page.locator(".widget-formula input")
    field.fill("__import__('os')")
    field.press("Enter")
    until(explorer, "message", "expression must be a formula")
    assert "Traceback" not in explorer.page.content()
    explorer.page.locator(".widget-model select").select_option("CubicTaylor")
    until(explorer, "found", "</span>catapult")


def test_sliders_have_names_and_values_for_screen_readers(explorer):
    # Protects readers without a screen: a slider on a log scale says 0.02, not -1.7.
    explorer.page.get_by_role("button", name="momentum", exact=True).click()
    until(explorer, "found", "gradient descent: final sharpness")
    handle = explorer.page.locator(".widget-excess .noUi-handle")
    explorer.page.wait_for_timeout(700)
    assert handle.get_attribute("aria-label") == "relative excess ε"
    assert handle.get_attribute("aria-valuetext") == "0.02"


def test_the_player_moves_a_ball_along_both_runs(explorer):
    # Protects play and step: they are the browser's alone, and the page goes on to answer afterwards.
    explorer.page.get_by_role("button", name="momentum", exact=True).click()
    until(explorer, "found", "gradient descent: final sharpness")
    settled(explorer, 256)
    step = explorer.page.locator("#player").get_by_role("button", name="Step")
    step.click()
    step.click()
    now = "Bokeh.documents[0].get_model_by_name('now').data"
    ends = "['run', 'ghost'].map((name) => Bokeh.documents[0].get_model_by_name(name).data.sharpness[1])"
    assert explorer.page.evaluate(f"[...{now}.step]") == [1, 1]
    assert explorer.page.evaluate(f"[...{now}.sharpness].reverse()") == explorer.page.evaluate(ends)
    explorer.page.locator("#player").get_by_role("button", name="Play").click()
    explorer.page.wait_for_function(f"{now}.step[0] > 20", timeout=WAIT)
    explorer.page.locator("#player").get_by_role("button", name="Pause").click()
    assert explorer.page.locator("#player input").get_attribute("aria-valuetext").endswith("of 600")
    press(explorer, "excess", "ArrowLeft", 3)
    explorer.page.wait_for_function(f"{now}.step.length === 0", timeout=WAIT)


def test_the_state_stands_in_the_address(explorer):
    # Protects the way back, and links: each button is a place in the history, and another tab opens the same state.
    page = explorer.page
    page.get_by_role("button", name="GD", exact=True).click()
    page.wait_for_function("location.hash === '#momentum=0'", timeout=WAIT)
    page.wait_for_timeout(1100)  # what follows within a second is one change
    page.get_by_role("button", name="Nesterov", exact=True).click()
    page.wait_for_function("location.hash === '#lookahead=0.9'", timeout=WAIT)
    page.go_back()
    page.wait_for_function("location.hash === '#momentum=0'", timeout=WAIT)
    until(explorer, "found", "overshoot <b>1.02")
    page.go_forward()
    until(explorer, "found", "without lookahead")
    assert page.evaluate("location.hash") == "#lookahead=0.9"
    other = page.context.new_page()
    other.goto(f"{explorer.address}#lookahead=0.9&excess=0.05&measure=overshoot", timeout=WAIT)
    other.wait_for_function(
        f"{FOUND}?.includes('without lookahead') && {FOUND}.includes('η = 1.425')", timeout=WAIT
    )
    assert other.locator(".widget-excess .bk-slider-title").inner_text() == "relative excess ε: 0.05"
    assert other.get_by_label("Diagram shows").input_value() == "overshoot"
    other.close()


def test_a_hostile_address_is_told_in_words(explorer):
    page = explorer.page
    page.get_by_role("button", name="momentum", exact=True).click()
    page.wait_for_function("location.hash === ''", timeout=WAIT)
    for hostile in (
        "#momentum=5",
        "#<img src=x onerror=alert(1)>=1",
        "#model=Formula&formula=__import__('os')",
    ):
        page.evaluate("(hostile) => { location.hash = hostile; }", hostile)
        until(explorer, "message", 'class="bad"')
        page.wait_for_function("location.hash === ''", timeout=WAIT)
        page.get_by_role("button", name="momentum", exact=True).click()
        settled(explorer, 256)
    page.evaluate("(long) => { location.hash = long; }", "a" * 5000)
    page.wait_for_function("location.hash === ''", timeout=WAIT)


def test_what_was_pale_comes_back(explorer):
    # Protects the pictures of a new model: Bokeh leaves a style in the page that is only taken away.
    explorer.page.locator(".widget-model select").select_option("Product")
    until(explorer, "found", "S* = 5.88")
    settled(explorer, 256)
    paleness = [
        explorer.page.locator(f"#{part} > div > *").first.evaluate("(each) => getComputedStyle(each).opacity")
        for part in ("plane", "sharpness", "loss", "diagram", "orbits")
    ]
    assert paleness == ["1"] * 5
    explorer.page.get_by_role("button", name="momentum", exact=True).click()
    settled(explorer, 256)


@pytest.mark.parametrize("size", [(900, 700), (1366, 768), (1440, 900), (390, 844)])
def test_nothing_is_cut_or_scrolls_sideways(explorer, size):
    # Protects small windows: every picture is within the page, with its axes and its colour bar inside of it.
    page = explorer.page
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.get_by_label("Diagram shows").select_option("overshoot")
    page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth", timeout=WAIT)
    page.wait_for_timeout(500)  # the plots are laid out anew in a moment
    parts = page.evaluate(
        """() => ['plane', 'sharpness', 'loss', 'diagram', 'orbits'].map((name) => {
             const cell = document.getElementById(name).getBoundingClientRect();
             const view = Bokeh.index.get_one(Bokeh.documents[0].get_model_by_name(name));
             const bars = view.model.right.filter((each) => each.type === 'ColorBar' && each.visible);
             const boxes = bars.map((each) => view.views.get_one(each).bbox);
             const { width, height } = view.bbox;
             return [cell.toJSON(), { width, height }, boxes.map(({ x1, y1 }) => ({ x1, y1 }))];
           })"""
    )
    for cell, own, bars in parts:
        assert cell["left"] >= 0
        assert cell["right"] <= size[0]
        assert own["width"] <= cell["width"] + 1
        assert own["height"] <= cell["height"] + 1
        for bar in bars:
            assert bar["x1"] <= own["width"] + 1
            assert bar["y1"] <= own["height"] + 1
    page.get_by_label("Diagram shows").select_option("phase")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_nothing_left_this_machine_and_nothing_went_wrong(explorer):
    # The last test of the page: all of the above, without a request elsewhere and without an error.
    hosts = {urlsplit(url).netloc for url in explorer.asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {f"127.0.0.1:{explorer.port}"}
    assert explorer.complaints == []


def test_a_page_that_has_lost_its_server_says_so(explorer):
    # After all others: a page that no longer changes must not look as if it did, and a button loads it again.
    assert explorer.page.locator("#lost").is_hidden()
    explorer.process.kill()
    explorer.page.locator("#lost").wait_for(state="visible", timeout=WAIT)
    assert "lost its connection" in explorer.page.locator("#lost").inner_text()
    explorer.page.get_by_role("button", name="Load the page again").click(trial=True)
