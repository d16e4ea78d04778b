/* A stage: controls, play and step, and panels of one run with gradient descent's beside it. */

const PLAY_SECONDS = 7;
const REDUCED = window.matchMedia("(prefers-reduced-motion: reduce)");

/** An element with attributes and children. */
function element(tag, attributes = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** What the line of theory is. */
function lawName({ warmup, lookahead }) {
  if (warmup > 0) return "theory: an estimate for slow warmups";
  return lookahead > 0 ? "theory: the law with lookahead" : "theory: the overshoot law";
}

class Stage {
  constructor(host, changed) {
    this.name = host.dataset.stage;
    this.changed = changed;
    this.spec = STAGES[this.name];
    this.playing = false;
    this.values = this.defaults();
    const handles = element("div", { class: "handles" }, [this.controlRow(), this.playRow()]);
    host.append(this.presetRow(), handles, this.legend(), this.panelRow());
    this.host = host;
    this.compute();
    this.step = this.setting.steps;
    new ResizeObserver(() => this.draw()).observe(host);
  }

  /** Values of the controls as the chapter begins. */
  defaults() {
    const preset = PRESETS[this.spec.preset].setting;
    return Object.fromEntries(Object.keys(this.spec.controls).map((name) => [
      name, name === "lr" ? (1 + preset.excess) * library.threshold(1, 0, 0) / library.curvature : preset[name],
    ]));
  }

  /** Buttons that set all controls at once; the last picture alone has them. */
  presetRow() {
    this.presetButtons = {};
    if (this.name !== "together") return "";
    const buttons = Object.entries(PRESETS).map(([name, { label, setting }]) => {
      const button = element("button", { type: "button", "aria-pressed": "false" }, [label]);
      button.addEventListener("click", () => this.set(setting));
      this.presetButtons[name] = button;
      return button;
    });
    return element("div", { class: "presets", role: "group", "aria-label": "Presets" }, buttons);
  }

  controlRow() {
    this.inputs = {};
    const rows = Object.entries(this.spec.controls).map(([name, narrower]) => {
      const { label, symbol, min, max, step } = { ...CONTROLS[name], ...narrower };
      const id = `${this.name}-${name}`;
      const input = element("input", { type: "range", id, min, max, step });
      const output = element("output", { for: id, "aria-live": "off" }); // the slider says its value itself
      input.addEventListener("input", () => this.set({ [name]: Number(input.value) }));
      this.inputs[name] = { input, output };
      const title = element("label", { for: id }, [`${label}, `, element("i", {}, [symbol])]);
      return element("div", { class: "control" }, [title, input, output]);
    });
    return element("div", { class: "controls" }, rows);
  }

  legend() {
    const line = (colour, dash) => {
      const holder = element("span", { class: "key-line", "aria-hidden": "true" });
      holder.style.setProperty("--key", colour);
      holder.dataset.dash = dash;
      return holder;
    };
    this.keys = {
      GD: element("li", {}, [line(library.colours.GD, "ball"), "gradient descent"]),
      PHB: element("li", {}, [line(library.colours.PHB, "ball"), element("span", {}, ["momentum"])]),
      threshold: element("li", {}, [line("var(--theory)", "dashed"), "threshold, ", element("i", {}, ["S*"])]),
      law: element("li", {}, [line("var(--theory)", "dash-dotted"), element("span", {}, [])]),
      edge: element("li", {}, [line("var(--theory)", "dotted"), "theory: the swing that balances sharpening"]),
    };
    return element("ul", { class: "legend", "aria-label": "Key" }, Object.values(this.keys));
  }

  panelRow() {
    this.panels = this.spec.panels.map((kind) => {
      const canvas = element("canvas", { role: "img", "aria-label": TITLES[kind] });
      const sentence = element("p", { class: "sentence", "aria-live": "polite" });
      const caption = element("figcaption", {}, [element("b", {}, [TITLES[kind]]), sentence]);
      return { kind, canvas, sentence, figure: element("figure", { class: kind }, [caption, canvas]) };
    });
    return element("div", { class: "panels" }, this.panels.map((each) => each.figure));
  }

  playRow() {
    this.playButton = element("button", { type: "button", class: "play" }, ["Play"]);
    this.stepButton = element("button", { type: "button" }, ["Step"]);
    this.scrubber = element("input", { type: "range", min: 0, step: 1, "aria-label": "Step of the run" });
    this.clock = element("output", { class: "clock", "aria-live": "off" });
    this.playButton.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.stepButton.addEventListener("click", () => {
      this.pause();
      this.goTo(this.step >= this.setting.steps ? 0 : this.step + 1);
    });
    this.scrubber.addEventListener("input", () => {
      this.pause();
      this.goTo(Number(this.scrubber.value));
    });
    return element("div", { class: "player" }, [this.playButton, this.stepButton, this.scrubber, this.clock]);
  }

  /** Change controls; the whole new run is shown, unless a step is asked for. */
  set(values, step = Infinity) {
    this.pause();
    for (const [name, value] of Object.entries(values)) {
      if (!(name in this.inputs)) continue;
      const { min, max } = this.inputs[name].input;
      this.values[name] = Math.min(Math.max(value, Number(min)), Number(max));
    }
    this.compute();
    this.goTo(Math.min(step, this.setting.steps));
  }

  /** Run the setting, and gradient descent at the same thresholds. */
  compute() {
    this.setting = complete({ ...PRESETS[this.spec.preset].setting, ...this.values });
    const alone = this.setting.momentum === 0 && this.setting.lookahead === 0;
    this.run = simulate(this.setting);
    this.law = law(this.setting);
    this.ghost = alone ? null : simulate(matched(this.setting));
    this.ghostLaw = alone ? null : law(matched(this.setting));
    for (const [name, { input, output }] of Object.entries(this.inputs)) {
      const value = this.values[name];
      input.value = value;
      output.textContent = CONTROLS[name].text(value);
      input.setAttribute("aria-valuetext", CONTROLS[name].spoken(value));
    }
    this.keys.PHB.hidden = alone;
    this.keys.PHB.lastChild.textContent = methodName(this.setting);
    this.keys.threshold.hidden = !this.spec.panels.includes("valley");
    this.keys.law.lastChild.textContent = lawName(this.setting);
    this.keys.law.hidden = !Number.isFinite(this.law.finalSharpness);
    this.keys.edge.hidden = this.setting.sharpening === 0 || !this.spec.panels.includes("valley");
    this.scrubber.max = this.setting.steps;
    for (const [name, button] of Object.entries(this.presetButtons)) {
      const { setting } = PRESETS[name];
      const same = Object.entries(setting).every(([key, value]) => this.values[key] === value);
      button.setAttribute("aria-pressed", String(same));
    }
  }

  goTo(step) {
    this.step = step;
    this.draw();
    this.changed(this);
  }

  play() {
    this.playing = true;
    this.playButton.textContent = "Pause";
    for (const { sentence } of this.panels) sentence.setAttribute("aria-live", "off");
    const first = this.step >= this.setting.steps ? 0 : this.step;
    const begin = performance.now();
    const perSecond = this.setting.steps / PLAY_SECONDS;
    const advance = (now) => {
      if (!this.playing) return;
      const seconds = Math.max(now - begin, 0) / 1000;
      // With reduced motion the picture changes four times a second, not sixty times.
      const counted = REDUCED.matches ? Math.floor(4 * seconds) / 4 : seconds;
      const step = Math.min(first + Math.floor(counted * perSecond), this.setting.steps);
      if (step !== this.step) this.goTo(step);
      if (step >= this.setting.steps) this.pause();
      else requestAnimationFrame(advance);
    };
    this.goTo(first);
    requestAnimationFrame(advance);
  }

  pause() {
    if (this.playing) {
      this.playing = false;
      this.draw();
    }
    this.playButton.textContent = "Play";
    for (const { sentence } of this.panels) sentence.setAttribute("aria-live", "polite");
  }

  draw() {
    for (const { kind, canvas, sentence } of this.panels) {
      if (canvas.clientWidth === 0) continue;
      DRAW[kind](canvas, this);
      const words = SENTENCES[kind](this);
      if (sentence.textContent === words) continue;
      sentence.textContent = words;
      canvas.setAttribute("aria-label", `${TITLES[kind]}. ${words}`);
    }
    this.scrubber.value = this.step;
    this.scrubber.setAttribute("aria-valuetext", `step ${this.step} of ${this.setting.steps}`);
    this.clock.textContent = `step ${this.step} of ${this.setting.steps}`;
  }

  /** What the address says of this stage: its controls that differ from the chapter's, and the step. */
  address() {
    const defaults = this.defaults();
    const fields = Object.entries(this.values)
      .filter(([name, value]) => Math.abs(value - defaults[name]) > 1e-12)
      .map(([name, value]) => `${name}=${Number(value.toPrecision(6))}`);
    if (this.step < this.setting.steps) fields.push(`step=${this.step}`);
    return [this.name, ...fields].join("&");
  }

  /** Take what an address says. */
  follow(fields) {
    const values = this.defaults();
    let step = Infinity;
    for (const [name, text] of fields) {
      const value = Number(text);
      if (text.trim() === "" || !Number.isFinite(value)) continue;
      if (name === "step") step = Math.max(0, Math.round(value));
      else if (name in values) values[name] = value;
    }
    this.set(values, step);
  }
}
