"""The explorer's page as HTML: where its parts stand, and how they look."""

from __future__ import annotations

from functools import reduce
from typing import Final

from selfstab.explorer.messages import LONGEST_TEXT
from selfstab.plotting.methods import METHOD_COLOURS

_PAGE: Final = """
{% block title %}selfstab explore{% endblock %}
{% block preamble %}
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<style>
  html, body { margin: 0; height: 100%; background: #fff; color: #222; font: 13px/1.35 system-ui, sans-serif; }
  main { display: grid; box-sizing: border-box; height: 100vh; min-height: 640px; padding: 8px 10px; gap: 6px 12px;
         grid-template-columns: 268px minmax(0, 1fr) minmax(0, 1fr);
         grid-template-rows: auto auto minmax(0, 5fr) minmax(0, 6fr) auto minmax(0, 10fr);
         grid-template-areas: "aside head head" "aside player player" "aside plane sharpness" "aside plane loss"
                              "aside legend orbits" "aside diagram orbits"; }
  main > * { min-width: 0; min-height: 0; }
  aside { grid-area: aside; overflow-y: auto; overflow-x: hidden; padding: 0 6px; border-right: 1px solid #ddd; }
  aside h1 { font-size: 15px; margin: 0 0 4px; }
  header { grid-area: head; min-height: 84px; }
  #player { display: flex; align-items: center; gap: 8px; }
  #player input { flex: 1; min-width: 0; accent-color: #444; }
  #player button { font: inherit; min-width: 56px; padding: 2px 8px; border: 1px solid #bbb; border-radius: 4px;
                   background: #fff; }
  #player output { min-width: 120px; color: #666; }
  .cell { display: flex; }
  .cell:focus-visible { outline: 3px solid #0077bb; }
  .cell > * { flex: 1; min-width: 0; }
  @media (max-width: 760px) {
    main { height: auto; grid-template-columns: minmax(0, 1fr);
           grid-template-rows: auto; grid-auto-rows: auto;
           grid-template-areas: "head" "player" "plane" "aside" "sharpness" "loss" "legend" "diagram" "orbits"; }
    aside { border-right: 0; }
    .cell { height: 240px; }
    #legend { height: auto; }
    /* The run stays in sight while the controls below it are moved. */
    #plane { position: sticky; top: 0; z-index: 10; background: #fff; }
  }
  #lost { position: fixed; inset: 0 0 auto 0; z-index: 20; padding: 10px 16px; background: #b00020; color: #fff;
          font-size: 14px; }
  #lost button { font: inherit; margin-left: 12px; padding: 3px 12px; border: 0; border-radius: 4px; background: #fff; }
  #lost button:focus-visible { outline: 3px solid #222; }
  #loading { margin: 6px 4px; color: #666; }
</style>
<script>
  /* A page that has lost its server says so: it must not stand there as if it still answered. */
  const lost = (gone) => {
    const notice = document.querySelector("#lost");
    if (notice) notice.hidden = !gone;
    document.querySelector("#loading")?.remove();
  };
  let leaving = false;
  addEventListener("beforeunload", () => { leaving = true; });
  globalThis.WebSocket = class extends WebSocket {
    constructor(...words) {
      super(...words);
      this.addEventListener("open", () => lost(false));
      this.addEventListener("close", () => { if (!leaving) lost(true); });
    }
  };
  addEventListener("load", () => { if (!globalThis.Bokeh) lost(true); });
</script>
{% endblock %}
{% block contents %}
<div id="lost" role="alert" hidden>This page has lost its connection: what it shows no longer changes. If it does not
load again, start <code>selfstab explore</code> anew.<button type="button">Load the page again</button></div>
<main>
  <aside><h1>selfstab explore</h1>{{ embed(roots.controls) }}</aside>
  <header aria-live="polite"><p id="loading">loading the page ...</p>
  {{ embed(roots.found) }}{{ embed(roots.message) }}</header>
  <div id="player" style="grid-area: player" role="group" aria-label="Player of the run">
    <button type="button">Play</button><button type="button">Step</button>
    <input type="range" min="0" max="1" value="1" aria-label="Step of the run"><output></output>
  </div>
  {% for name, words in (("plane", "Sharpness against displacement, a dot for each step"),
                          ("sharpness", "Sharpness against the step"), ("loss", "Loss against the step"),
                          ("diagram", "Phase diagram of many runs: arrow keys choose the run"),
                          ("orbits", "Orbit diagram of many runs")) %}
  <div class="cell" id="{{ name }}" style="grid-area: {{ name }}" role="img" aria-label="{{ words }}"
       {% if name == "diagram" %}tabindex="0"{% endif %}>
  {{ embed(roots[name]) }}</div>
  {% endfor %}
  <div id="legend" style="grid-area: legend">{{ embed(roots.legend) }}</div>
</main>
<script>
document.querySelector("#lost button").addEventListener("click", () => location.reload());
(() => {
  /* A slider's name and value stand in its title, which Bokeh does not tell to screen readers. */
  const sliders = (root) => [...root.querySelectorAll("*")].flatMap((each) => each.shadowRoot
    ? [[each.shadowRoot.querySelector(".noUi-handle"), each.shadowRoot.querySelector(".bk-slider-title")],
       ...sliders(each.shadowRoot)]
    : []);
  const tell = () => {
    for (const [handle, title] of sliders(document)) {
      if (!handle || !title) continue;
      const [name, value] = title.textContent.split(": ");
      for (const [attribute, text] of [["aria-label", name], ["aria-valuetext", value]]) {
        if (text && handle.getAttribute(attribute) !== text) handle.setAttribute(attribute, text);
      }
    }
  };
  for (const event of ["keyup", "pointerup", "focusin"]) document.addEventListener(event, () => setTimeout(tell, 0));
  setInterval(tell, 500);
  /* What came of the run, beside the names of its pictures. */
  const cells = ["plane", "sharpness", "loss"].map((name) => document.getElementById(name));
  const names = cells.map((cell) => cell.getAttribute("aria-label"));
  setInterval(() => {
    const holder = document.createElement("template");
    holder.innerHTML = globalThis.Bokeh?.documents[0]?.get_model_by_name("found")?.text ?? "";
    const parts = [...holder.content.querySelectorAll(".found > span")];
    const said = parts.map((part) => part.textContent.trim()).join("; ");
    cells.forEach((cell, k) => {
      const label = said ? `${names[k]}. ${said}` : names[k];
      if (cell.getAttribute("aria-label") !== label) cell.setAttribute("aria-label", label);
    });
  }, 500);
})();
(() => {
  /* The player moves a ball along each run; it asks nothing of the server. */
  const SECONDS = 7, REDUCED = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const [play, next] = document.querySelectorAll("#player button");
  const place = document.querySelector("#player input"), clock = document.querySelector("#player output");
  const named = (name) => globalThis.Bokeh?.documents[0]?.get_model_by_name(name);
  let timer = 0;
  const last = () => Math.max(named("run").data.step.length - 1, 0);
  const show = (step, visible = true) => {
    const [run, ghost, colours] = [named("run").data, named("ghost").data, ["GD_COLOUR", "PHB_COLOUR"]];
    const balls = [[ghost, colours[0]], [run, colours[1]]].filter(([{ step: steps }]) => visible && steps.length > 0);
    const column = (name) => balls.map(([data]) => Number(data[name][Math.min(step, data.step.length - 1)]));
    named("now").data = {
      step: column("step"), x: column("x"), sharpness: column("sharpness"), loss: column("loss"),
      colour: balls.map(([, colour]) => colour),
    };
    place.max = last();
    place.value = step;
    clock.textContent = `step ${step} of ${last()}`;
    place.setAttribute("aria-valuetext", clock.textContent);
  };
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  play.addEventListener("click", () => {
    if (timer) return pause();
    const first = Number(place.value) >= last() ? 0 : Number(place.value), began = performance.now();
    play.textContent = "Pause";
    timer = setInterval(() => {
      const step = Math.min(first + Math.ceil((performance.now() - began) / 1000 / SECONDS * last()), last());
      show(step);
      if (step === last()) pause();
    }, REDUCED ? 250 : 50);
  });
  next.addEventListener("click", () => {
    pause();
    show(Number(place.value) >= last() ? 0 : Number(place.value) + 1);
  });
  place.addEventListener("input", () => {
    pause();
    show(Number(place.value));
  });
  const begin = () => {
    const run = named("run");
    if (!run) return setTimeout(begin, 200);
    const rest = () => { pause(); show(last(), false); };
    run.connect(run.properties.data.change, rest);
    rest();
  };
  begin();
})();
(() => {
  /* Arrow keys in the diagram, a sixty-fourth of an axis each. */
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  let at = null;
  document.getElementById("diagram").addEventListener("keydown", (event) => {
    const move = MOVES[event.key], page = globalThis.Bokeh?.documents[0];
    if (!move || !page) return;
    event.preventDefault();
    const { x, y } = page.get_model_by_name("diagram").renderers.at(-1).data_source.data;
    const within = (value) => Math.min(Math.max(value, 0), 1);
    at = [x, y].map((places, k) => within((at ?? [places[0] ?? 0.5, places[0] ?? 0.5])[k] + move[k] / 64));
    page.get_model_by_name("place").value = at.join(",");
  });
  /* The next key begins where the mark is. */
  document.getElementById("diagram").addEventListener("focusin", () => { at = null; });
  document.getElementById("diagram").addEventListener("pointerdown", () => { at = null; });
})();
(() => {
  /* The state stands in the address after the #, which no server and no log sees. */
  const MOST = LONGEST_TEXT;
  let written = 0, visiting = false;
  const begin = () => {
    const field = globalThis.Bokeh?.documents[0]?.get_model_by_name("address");
    if (!field) return setTimeout(begin, 100);
    const here = () => location.hash.slice(1);
    const visit = () => {
      if (here() === field.value) return;
      visiting = true;
      if (here().length <= MOST) field.value = here();
      else write();
    };
    const write = () => {
      if (here() === field.value) return;
      /* What a drag passes through, or another spelling of what was asked for, is no place to go back to. */
      const kind = visiting || Date.now() - written < 1000 ? "replaceState" : "pushState";
      history[kind](null, "", field.value ? `#${field.value}` : location.pathname + location.search);
      written = Date.now();
    };
    field.connect(field.properties.value.change, write);
    for (const event of ["popstate", "hashchange"]) addEventListener(event, visit);
    for (const event of ["pointerdown", "keydown"]) addEventListener(event, () => { visiting = false; }, true);
    visit();
  };
  begin();
})();
</script>
{% endblock %}
"""

_NUMBERS: Final = {
    "GD_COLOUR": METHOD_COLOURS["GD"],
    "PHB_COLOUR": METHOD_COLOURS["PHB"],
    "LONGEST_TEXT": str(LONGEST_TEXT),
}

PAGE: Final = reduce(lambda page, name: page.replace(name, _NUMBERS[name]), _NUMBERS, _PAGE)
"""A template for Bokeh's documents; the parts' names are those of the page's roots."""

WIDGET_STYLE: Final = """
:host { margin-top: 3px; margin-bottom: 3px; }
.bk-input { padding: 0 6px; height: 25px; min-height: 25px; font-size: 12px; }
select.bk-input { padding-right: 16px; background-position: right 4px center; text-overflow: ellipsis; }
label, .bk-slider-title { font-size: 12px; }
.bk-btn { padding: 3px 4px; font-size: 12px; }
.noUi-horizontal { height: 7px; }
.noUi-horizontal .noUi-handle { top: -5px; }
"""
"""Widgets that stand close, so that all are seen at once."""

DIV_STYLE: Final = """
:host { font-size: 12px; }
.badge { display: inline-block; width: 11px; height: 11px; margin: 0 5px 0 0; border: 1px solid #777;
         border-radius: 2px; overflow: hidden; line-height: 11px; vertical-align: -1px; }
.key { margin-right: 12px; white-space: nowrap; }
.found { display: flex; flex-wrap: wrap; gap: 2px 18px; align-items: baseline; }
.phase { font-size: 14px; font-weight: 600; }
.found b { font-weight: 600; }
.lines { color: #444; }
.lines svg { vertical-align: middle; margin-right: 4px; }
.note, .calm { color: #666; }
.bad { color: #b00020; font-weight: 600; }
"""
"""The look of texts within the page: Bokeh's parts keep the page's own style out."""
