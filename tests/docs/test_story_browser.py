"""The playable story in a real browser: its runs are the library's, it needs no server, and the keyboard is enough."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import selfstab as ss
from selfstab.plotting.methods import METHOD_COLOURS
from tests.chromium import CHROMIUM, FLAGS
from tests.docs.test_story import DOCS, story_page

playwright = pytest.importorskip(
    "playwright.sync_api", reason="not run: Playwright (extra 'browser') is missing"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="not run: there is no Chromium on this machine")

ADDRESS = (DOCS / "catapults.html").as_uri()
STAGES = (
    "opening",
    "gradient-descent",
    "momentum",
    "overshoot",
    "warmup",
    "sharpening",
    "nesterov",
    "together",
)


@pytest.fixture(scope="module")
def browser():
    """Return Chromium, with all that its pages asked for and complained about."""
    with playwright.sync_playwright() as drive:
        chromium = drive.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield SimpleNamespace(chromium=chromium, asked=[], complaints=[])
        chromium.close()


@pytest.fixture
def opened(browser):
    """Return a function that opens the story at an address, in a window of its own."""
    contexts = []

    def open_page(fragment="", *, width=1100, height=850, motion="reduce", colours="light"):
        context = browser.chromium.new_context(
            viewport={"width": width, "height": height}, reduced_motion=motion, color_scheme=colours
        )
        context.set_default_timeout(120_000)  # milliseconds: other programs may use the processor, too
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: browser.asked.append(request.url))
        page.on("pageerror", lambda error: browser.complaints.append(str(error)))
        page.on(
            "console", lambda said: browser.complaints.append(said.text) if said.type == "error" else None
        )
        page.goto(ADDRESS + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()


def settings():
    """Return presets' and drawn settings: momentum, lookahead, warmup and sharpening, each of them also absent."""
    rng = np.random.default_rng(0)
    drawn = [
        {
            "excess": float(rng.uniform(-0.02, 0.1)),
            "momentum": float(rng.choice([0.0, rng.uniform(0.0, 0.97)])),
            "lookahead": float(rng.choice([0.0, rng.uniform(0.0, 0.95)])),
            "warmup": int(rng.choice([0, rng.integers(300, 2000)])),
            "sharpening": float(rng.choice([0.0, rng.uniform(0.0, 2e-5)])),
        }
        for _ in range(40)
    ]
    diverging = [
        {"excess": 0.05, "momentum": 0.9},
        {"excess": 0.02, "momentum": 0.96},
        {"excess": 0.1, "momentum": 0.95, "warmup": 400},
        {"excess": 0.0, "momentum": 0.9, "sharpening": 1e-5},
    ]
    return [{"excess": 0.02}, {"excess": 0.02, "momentum": 0.9}, *diverging, *drawn]


def optimizer(setting):
    """Return the library's optimizer of a setting of the page."""
    momentum, lookahead = setting["momentum"], setting["lookahead"]
    crossing = 2.0 * (1.0 + momentum) / (story_page.CURVATURE * (1.0 + 2.0 * lookahead))
    end = (1.0 + setting["excess"]) * crossing
    start = story_page.RAMP_START * crossing
    lr = ss.LinearWarmup(start, end, setting["warmup"]) if setting["warmup"] else end
    return ss.HeavyBall(lr, momentum, lookahead=lookahead)


def simulated(setting):
    """Return the library's run of a setting of the page."""
    loss = ss.CubicTaylor(story_page.CURVATURE, setting["sharpening"], story_page.STABILIZATION)
    flip = [story_page.FLIP, 0.0]
    return ss.simulate(
        loss, optimizer(setting), flip, setting["steps"], previous=[-story_page.FLIP, 0.0],
        keep=("loss", "sharpness", "weights"),
    )  # fmt: skip


def test_runs_are_the_librarys(opened):
    """Protects the story's truth: weights, loss, sharpness, lr and threshold at each step, divergences among them.

    An error grows with the swing: it is relative to the largest value so far. Rounding leaves 6e-12 of it, and 4e-10 in
    a run that diverges in its second catapult.
    """
    page = opened()
    pairs = page.evaluate(
        "(all) => all.map((each) => [story.complete(each), story.simulate(story.complete(each))])", settings()
    )
    diverged = 0
    for setting, run in pairs:
        own = simulated(setting)
        assert run["divergedAt"] == int(own.diverged_at), setting
        diverged += run["divergedAt"] >= 0
        expected = {
            "x": own.weights.values[:, 0], "z": own.weights.values[:, 1], "loss": own.loss.values,
            "sharpness": own.sharpness.values, "lr": own.lr.values, "threshold": own.max_stable_sharpness.values,
        }  # fmt: skip
        for name, values in expected.items():
            scale = np.maximum.accumulate(np.abs(values)) * (1e-9 if run["divergedAt"] >= 0 else 1e-10)
            assert len(run[name]) == len(values), (setting, name)
            assert (np.abs(run[name] - values) <= scale).all(), (setting, name)
    assert 4 <= diverged < len(pairs)


def test_the_law_is_the_librarys(opened):
    """Protects theory's lines: G(κ) in all three of its ranges, κ, and the final sharpness that is drawn."""
    page = opened()
    kappa = np.geomspace(1e-4, 1e6, 400)
    values = page.evaluate("(all) => all.map(story.overshoot)", kappa.tolist())
    np.testing.assert_allclose(values, ss.theory.overshoot(kappa), rtol=1e-12)
    for momentum in (0.0, 0.5, 0.9):
        number = page.evaluate("(momentum) => story.inertiaNumber(0.02, momentum)", momentum)
        assert number == pytest.approx(ss.theory.inertia_number(0.02, momentum), rel=1e-14)
        law = page.evaluate("(momentum) => story.law(story.complete({excess: 0.02, momentum}))", momentum)
        threshold = 1.0 / 1.02
        final = ss.theory.final_sharpness(threshold, 1.0 - threshold, number)
        assert law["finalSharpness"] == pytest.approx(float(final), rel=1e-12)
    edge = page.evaluate("edgeDisplacement(5e-6)")
    assert edge == pytest.approx(float(ss.theory.edge_displacement(5e-6, 1.0)), rel=1e-14)


def test_colours_are_the_figures(opened):
    """Protects the reader who goes from the story to a figure: each method's balls have its colour."""
    page = opened("#momentum")
    for name in ("GD", "PHB"):
        colour = [int(METHOD_COLOURS[name][k : k + 2], 16) for k in (1, 3, 5)]
        count = page.evaluate(
            """([red, green, blue]) => {
                 const canvas = document.querySelector('#momentum .sharpness canvas');
                 const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                 let count = 0;
                 for (let k = 0; k < data.length; k += 4) {
                   count += data[k] === red && data[k + 1] === green && data[k + 2] === blue;
                 }
                 return count; }""",
            colour,
        )
        assert count > 60, name


def test_a_slider_by_the_keyboard(opened):
    """Protects readers without a mouse or a screen: value, spoken value, sentence, picture and address follow a key."""
    page = opened("#momentum")
    slider = page.locator("#momentum").get_by_label("Momentum, β", exact=True)
    canvas = page.locator("#momentum .sharpness canvas")
    before = (canvas.screenshot(), canvas.get_attribute("aria-label"))
    assert "Momentum ends at 0.564, gradient descent at 0.960" in before[1]
    slider.focus()
    outline = slider.evaluate("(each) => getComputedStyle(each).outlineStyle")
    assert outline == "solid"
    for _ in range(3):
        slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "0.93"
    assert page.locator("#momentum .control output").inner_text() == "0.93"
    assert page.locator("#momentum .sharpness .sentence").inner_text() in canvas.get_attribute("aria-label")
    assert canvas.get_attribute("aria-label") != before[1]
    assert canvas.screenshot() != before[0]
    page.wait_for_function("location.hash === '#momentum&momentum=0.93'")


def test_step_and_play(opened):
    """Protects the player: a step at a time, to the end by itself, a pause, and again from the start."""
    page = opened("#gradient-descent", motion="no-preference")
    stage = "story.stages['gradient-descent']"
    page.evaluate(f"{stage}.pause()")
    player = page.locator("#gradient-descent .player")
    player.get_by_role("slider").evaluate(
        "(each) => { each.value = 100; each.dispatchEvent(new Event('input')); }"
    )
    assert player.locator("output").inner_text() == "step 100 of 240"
    player.get_by_role("button", name="Step").click()
    assert page.evaluate(f"{stage}.step") == 101
    assert player.get_by_role("slider").get_attribute("aria-valuetext") == "step 101 of 240"
    assert (
        "Step 101: gradient descent is at"
        in page.locator("#gradient-descent .sharpness .sentence").inner_text()
    )
    player.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{stage}.step > 110")
    player.get_by_role("button", name="Pause").click()
    at = page.evaluate(f"{stage}.step")
    page.wait_for_timeout(200)
    assert page.evaluate(f"{stage}.step") == at < 240
    page.wait_for_function(f"location.hash === '#gradient-descent&step={at}'")


def test_a_picture_plays_once_by_itself_unless_less_motion_is_asked_for(opened):
    """Protects readers whom motion makes sick; and the address, which is no one's until something is touched."""
    for motion, plays in (("reduce", False), ("no-preference", True)):
        page = opened(motion=motion)
        page.locator("#momentum .stage").scroll_into_view_if_needed()
        page.evaluate(
            "document.querySelector('#momentum .stage').scrollIntoView({block: 'center', behavior: 'instant'})"
        )
        if plays:
            page.wait_for_function("story.stages.momentum.playing")
            page.wait_for_function("story.stages.momentum.step > 2 && story.stages.momentum.step < 240")
        else:
            page.wait_for_function("story.stages.momentum.started")
            assert not page.evaluate("story.stages.momentum.playing")
        assert page.evaluate("location.hash") == ""


def test_an_address_holds_the_picture(opened):
    """Protects a link that was sent: the same controls, the same step, the chapter in view."""
    first = opened("#together")
    first.get_by_role("button", name="+ warmup").click()
    first.locator("#together-momentum").press("ArrowLeft")
    first.locator("#together .player").get_by_role("button", name="Step").click()
    first.locator("#together .player").get_by_role("button", name="Step").click()
    first.wait_for_function("location.hash.endsWith('&step=1')")
    second = opened(first.evaluate("location.hash"))
    state = "[story.stages.together.setting, story.stages.together.step]"
    assert second.evaluate(state) == first.evaluate(state)
    assert second.evaluate("story.stages.together.setting.warmup") == 600
    second.wait_for_function("document.getElementById('together').getBoundingClientRect().top < 400")


@pytest.mark.parametrize(
    "fragment",
    [
        "#momentum&momentum=abc&step=-4",
        "#momentum&momentum=1e99&x=<b>",
        "#nothing",
        "#%E0%A4%A",
        "#together&&&=&step=1e9",
    ],
)
def test_a_malformed_address_is_harmless(opened, fragment):
    """Protects the page from what others put into a link: it shows itself, with values in their ranges."""
    page = opened(fragment)
    for name in STAGES:
        setting = page.evaluate(f"story.stages['{name}'].setting")
        assert 0.0 <= setting["momentum"] <= 0.97
        step = page.evaluate(f"story.stages['{name}'].step")
        assert 0 <= step <= setting["steps"]


def test_presets_set_every_control(opened):
    """Protects the five buttons: each gives its chapter's run and is marked, with gradient descent beside it."""
    page = opened("#together")
    chapters = ("gradient-descent", "momentum", "warmup", "sharpening", "nesterov")
    for button, chapter in zip(page.locator(".presets button").all(), chapters, strict=True):
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert page.locator(".presets [aria-pressed=true]").count() == 1
        same = f"JSON.stringify(story.stages.together.run) === JSON.stringify(story.stages['{chapter}'].run)"
        assert page.evaluate(same), chapter
        ghost = page.evaluate("story.stages.together.ghost?.threshold")
        if chapter == "gradient-descent":
            assert ghost is None
        else:
            own = page.evaluate("story.stages.together.run.threshold")
            np.testing.assert_allclose(ghost, own, rtol=1e-14)


@pytest.mark.parametrize("width", [390, 900, 1100, 1366, 1440])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_is_wider_than_the_window(opened, width, colours):
    """Protects phones and laptops from a page that scrolls sideways, and from a picture outside of it."""
    page = opened(width=width, colours=colours)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for box in page.evaluate(
        "[...document.querySelectorAll('canvas')].map((each) => each.getBoundingClientRect().toJSON())"
    ):
        assert box["left"] >= 0
        assert box["right"] <= width
        assert box["width"] >= 300


def test_every_control_has_a_name(opened):
    """Protects screen readers: each slider, button and picture has a name, and each slider its value in words."""
    page = opened()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input, button, canvas')].filter((each) =>
                 !(each.labels?.length || each.getAttribute('aria-label') || each.textContent.trim())).length"""
    )
    assert unnamed == 0
    assert page.locator("input:not([aria-valuetext])").count() == 0
    assert page.locator("canvas:not([role=img])").count() == 0
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(identifiers) == len(set(identifiers))


def test_preset_play_and_step_by_the_keyboard_on_a_phone(opened):
    """Protects a phone's reader without a touch: buttons by Enter and Space, in their order, each in sight."""
    page = opened("#together", width=390, motion="no-preference")
    stage = "story.stages.together"
    page.locator("#together .presets button").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{stage}.setting.momentum") == 0.9
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert page.evaluate(f"{stage}.setting.momentum") == 0
    for _ in range(10):  # five presets and five sliders, of which one has the focus
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function(f"{stage}.playing && {stage}.step > 2")
    page.keyboard.press("Enter")
    at = page.evaluate(f"{stage}.step")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate(f"[{stage}.playing, {stage}.step]") == [False, at + 1]
    box = page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
    assert box["left"] >= 0
    assert box["right"] <= 390


def test_what_a_screen_reader_is_told(opened):
    """Protects readers without a screen: pictures say how the run ended, and nothing speaks at each step of a play."""
    page = opened("#momentum")
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in nodes if not node["ignored"]]

    def names(role):
        return [node["name"]["value"] for node in seen if node["role"]["value"] == role]

    pictures = names("image")
    assert len(pictures) == page.locator("canvas").count()
    assert any(name.endswith("Momentum ends at 0.564, gradient descent at 0.960. Theory says 0.587 and 0.960.")
               for name in pictures)  # fmt: skip
    assert all(names("slider"))
    assert all(names("button"))
    live = [node for node in seen if node["role"]["value"] == "status"]
    for node in live:
        spoken = {each["name"]: each["value"].get("value") for each in node["properties"]}
        assert spoken.get("live", "off") == "off"
    assert page.locator("[aria-live=polite]:not(.sentence)").count() == 0


def test_every_sentence_is_short(opened):
    """Protects the reader of the changing sentences: at every step of many runs, below 20 words, without a NaN."""
    page = opened()
    said = page.evaluate(
        """(all) => { const out = new Set();
                      const stage = story.stages.together;
                      for (const each of all) {
                        stage.set(each);
                        for (let k = 0; k <= 8; k++) {
                          stage.goTo(Math.round(k * stage.setting.steps / 8));
                          for (const { sentence } of stage.panels) out.add(sentence.textContent);
                        } }
                      return [...out]; }""",
        settings(),
    )
    assert len(said) > 200
    for text in said:
        assert not any(word in text for word in ("NaN", "undefined", "Infinity", "null")), text
        for sentence in text.replace("! ", ". ").replace("? ", ". ").split(". "):
            assert len(sentence.split()) < 20, sentence


def test_only_what_rests_is_said_to_rest(opened):
    """Protects the truth of the valley's sentence: from there on the library's run moves neither way, nor diverges."""
    page = opened()
    chosen = [
        {"excess": 0.1, "momentum": 0.95},
        {"excess": 0.02, "momentum": 0.94},
        {"excess": 0.05, "momentum": 0.9},
        {"excess": 0.02, "momentum": 0.9},
        {"excess": 0.02, "momentum": 0.0},
    ]
    said = page.evaluate(
        """(all) => all.map((each) => {
             const setting = story.complete(each), run = story.simulate(setting), steps = [];
             for (let step = 0; step <= setting.steps; step++) {
               const text = story.sentence("valley", { setting, run, step });
               if (text.includes("rests")) steps.push(step);
             }
             return [setting, steps]; })""",
        chosen,
    )
    for setting, steps in said:
        run = simulated(setting)
        if int(run.diverged_at) >= 0:
            assert steps == [], setting
            continue
        assert steps, setting
        sharpness, swing = run.sharpness.values, np.abs(run.weights.values[:, 0])
        assert swing[steps[0] :].max() < 0.05 * swing.max(), setting
        assert np.ptp(sharpness[steps[0] :]) < 0.02 * sharpness[steps[0]], setting
    assert {bool(steps) for _, steps in said} == {True, False}


def test_nothing_was_asked_of_anybody_and_nothing_went_wrong(opened, browser):
    """The last test: all of the above, from one file, without a request elsewhere and without a complaint."""
    opened()
    assert {url.split("#")[0] for url in browser.asked if not url.startswith("data:")} == {ADDRESS}
    assert json.dumps(browser.complaints) == "[]"
