/* The four panels, drawn on canvases: the valley from above, sharpness, loss, and the overshoot law. */

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const TITLES = {
  valley: "The valley, from the side and from above", sharpness: "Sharpness at each step",
  loss: "Loss at each step",
  law: "Overshoot and inertia number",
};

/** Colours of the page now, from its style sheet and from selfstab. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: named("text"), muted: named("muted"), grid: named("grid"), panel: named("panel"), theory: named("theory"),
    unstable: named("unstable"), contour: named("contour"), GD: library.colours.GD, PHB: library.colours.PHB,
  };
}

/** Round numbers in a range, about as many as asked for. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) out.push(k * step);
  return out;
}

/** Range of the sharpness that both runs share, rounded outwards. */
function sharpnessRange(runs) {
  const most = 1.35 * library.curvature;
  const ends = runs.flatMap((run) => [
    ...run.sharpness.filter((value) => value < most),
    run.threshold.at(-1),
  ]);
  const low = Math.min(...ends), high = Math.max(...ends, library.curvature);
  const step = Math.max((high - low) / 8, 0.002);
  return [low - step, high + 1.3 * step];
}

/** Half of the valley's width that is shown. */
function valleyWidth(runs) {
  const most = 1.35 * library.curvature;
  const swings = runs.flatMap((run) => run.x.filter((_, k) => run.sharpness[k] < most).map(Math.abs));
  return 1.15 * Math.max(...swings, 2 * library.flip);
}

/** A panel's frame: from data to pixels, axes, and the clipped inside. */
class Frame {
  constructor(canvas, { xRange, yRange, xLog = false, yLog = false, above = 0 }) {
    const ratio = window.devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    this.context = canvas.getContext("2d");
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.font = `12px ${FONT}`;
    this.colours = palette();
    this.left = 46;
    this.right = this.width - 14;
    this.above = above;
    this.top = above + 26;
    this.bottom = this.height - 38;
    this.xScale = scale(xRange, this.left, this.right, xLog);
    this.yScale = scale(yRange, this.bottom, this.top, yLog);
    Object.assign(this, { xRange, yRange, xLog, yLog });
  }

  text(words, x, y, { align = "left", baseline = "middle", colour = this.colours.muted, bold = false } = {}) {
    const { context } = this;
    context.font = `${bold ? "600 " : ""}12px ${FONT}`;
    context.textAlign = align;
    context.textBaseline = baseline;
    context.fillStyle = colour;
    context.fillText(words, x, y);
  }

  /** Words on a patch of the panel's colour, so that lines below do not hide them. */
  label(words, x, y, { align = "left", colour = this.colours.muted } = {}) {
    const { context } = this;
    context.font = `12px ${FONT}`;
    const width = context.measureText(words).width;
    const left = align === "right" ? x - width : align === "center" ? x - width / 2 : x;
    context.save();
    context.globalAlpha = 0.8;
    context.fillStyle = this.colours.panel;
    context.fillRect(left - 3, y - 8, width + 6, 16);
    context.restore();
    this.text(words, x, y, { align, colour });
  }

  axes({ xTicks, yTicks, xText = (value) => written(value), yText = (value) => written(value), xTitle, yTitle, lines = true }) {
    const { context, colours } = this;
    context.lineWidth = 1;
    for (const value of yTicks) {
      const y = Math.round(this.yScale(value)) + 0.5;
      context.strokeStyle = colours.grid;
      this.path([[lines ? this.left : this.left - 4, y], [lines ? this.right : this.left, y]]);
      this.text(yText(value), this.left - 7, y, { align: "right" });
    }
    for (const value of xTicks) {
      const x = Math.round(this.xScale(value)) + 0.5;
      context.strokeStyle = colours.grid;
      this.path([[x, lines ? this.top : this.bottom], [x, lines ? this.bottom : this.bottom + 4]]);
      this.text(xText(value), x, this.bottom + 12, { align: "center" });
    }
    this.text(xTitle, (this.left + this.right) / 2, this.height - 8, { align: "center", colour: colours.text });
    this.text(yTitle, 4, this.above + 12, { colour: colours.text });
  }

  /** Draw inside the axes only. */
  inside(draw) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(this.left, this.top, this.right - this.left, this.bottom - this.top);
    context.clip();
    draw();
    context.restore();
  }

  /** A line through points in pixels; it breaks where one is not finite. */
  path(points) {
    const { context } = this;
    context.beginPath();
    let pen = false;
    for (const [x, y] of points) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) pen = false;
      else if (pen) context.lineTo(x, y);
      else {
        context.moveTo(x, y);
        pen = true;
      }
    }
    context.stroke();
  }

  line(points, { colour, width = 2, dash = [] }) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.setLineDash(dash);
    this.path(points.map(([x, y]) => [this.xScale(x), this.yScale(y)]));
    context.setLineDash([]);
  }

  /** A ball at a point of the data. */
  ball(x, y, colour, radius = 6) {
    this.disc(this.xScale(x), this.yScale(y), colour, radius);
  }

  /** A ball at a pixel. */
  disc(x, y, colour, radius) {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = this.colours.panel;
    context.stroke();
  }
}

/** From a value to a place between two pixels. */
function scale([low, high], first, last, log) {
  const position = log
    ? (value) => Math.log(Math.max(value, 1e-300) / low) / Math.log(high / low)
    : (value) => (value - low) / (high - low);
  return (value) => first + (last - first) * position(value);
}

/** The runs to draw, the fainter one first. */
function drawn(view) {
  const own = [view.run, view.setting.momentum === 0 ? "GD" : "PHB"];
  return view.ghost ? [[view.ghost, "GD"], own] : [own];
}

function runsOf(view) {
  return view.ghost ? [view.run, view.ghost] : [view.run];
}

const DASHED = [7, 4];
const DASH_DOTTED = [10, 3, 2, 3];

/** Height of the side view above the map, in pixels. */
const SIDE = 84;

function drawValley(canvas, view) {
  const half = valleyWidth(runsOf(view));
  const [low, high] = sharpnessRange(runsOf(view));
  const frame = new Frame(canvas, { xRange: [-half, half], yRange: [low, high], above: SIDE });
  const { context, colours } = frame;
  const at = Math.min(view.step, view.run.threshold.length - 1);
  const threshold = view.run.threshold[at];
  drawSide(frame, view, half);
  frame.inside(() => {
    const top = 0.5 * high * half * half;
    for (let k = 0; k < 10; k++) drawWalls(frame, (k / 10) ** 2 * top, low, high);
    context.fillStyle = colours.unstable;
    context.fillRect(frame.left, frame.top, frame.right - frame.left, frame.yScale(threshold) - frame.top);
  });
  frame.axes({
    xTicks: ticks(-half, half, 4), yTicks: ticks(low, high, 5), lines: false,
    xTitle: "place across the valley, x", yTitle: "sharpness, S",
  });
  frame.inside(() => {
    frame.line([[-half, threshold], [half, threshold]], { colour: colours.theory, width: 1.3, dash: DASHED });
    if (view.setting.sharpening > 0) {
      const edge = edgeDisplacement(view.setting.sharpening);
      for (const side of [-edge, edge]) {
        frame.line([[side, low], [side, high]], { colour: colours.theory, width: 1.2, dash: [2, 3] });
      }
    }
    for (const [run, name] of drawn(view)) drawTrail(frame, run, view.step, colours[name]);
  });
  const y = frame.yScale(threshold);
  if (y - frame.top > 20) frame.label("unstable", frame.right - 5, y - 11, { align: "right" });
  if (frame.bottom - y > 20) frame.label("stable", frame.right - 5, y + 12, { align: "right" });
}

/** Shade what is higher than a loss on both walls. */
function drawWalls(frame, level, low, high) {
  const { context } = frame;
  context.fillStyle = frame.colours.contour;
  const [first, last] = frame.xRange;
  for (const [side, edge] of [[-1, first], [1, last]]) {
    context.beginPath();
    context.moveTo(frame.xScale(edge), frame.yScale(high));
    for (let row = 0; row <= 40; row++) {
      const sharpness = high - (high - low) * row / 40;
      const x = side * Math.min(Math.sqrt(2 * level / Math.max(sharpness, 1e-9)), last);
      context.lineTo(frame.xScale(x), frame.yScale(sharpness));
    }
    context.lineTo(frame.xScale(edge), frame.yScale(low));
    context.fill();
  }
}

/** The walls seen along the floor, as steep as they are where each run is, with a ball on them. */
function drawSide(frame, view, half) {
  const { context, colours } = frame;
  const [top, bottom] = [10, SIDE - 4];
  const most = 0.5 * library.curvature * half * half;
  const height = (x, sharpness) => bottom - (bottom - top) * 0.5 * sharpness * x * x / most;
  for (const [run, name] of drawn(view)) {
    const last = Math.min(view.step, run.x.length - 1);
    const sharpness = Math.max(run.sharpness[last], 0);
    const points = [];
    for (let k = 0; k <= 60; k++) {
      const x = half * (k / 30 - 1);
      points.push([frame.xScale(x), height(x, sharpness)]);
    }
    context.strokeStyle = colours[name];
    context.lineWidth = 2;
    context.globalAlpha = 0.75;
    frame.path(points);
    context.globalAlpha = 1;
    const x = Math.max(-half, Math.min(half, run.x[last]));
    frame.disc(frame.xScale(x), height(x, sharpness) - 5, colours[name], 6);
  }
  frame.text("side", frame.left - 7, SIDE / 2, { align: "right" });
}

/** The steps of a run up to one: all as dots, the last ones joined (all of them where they are few), and a ball. */
function drawTrail(frame, run, step, colour) {
  const { context } = frame;
  const last = Math.min(step, run.x.length - 1);
  const { swing } = largestSwing(run);
  const few = run.x.filter((x) => Math.abs(x) > 0.05 * swing).length < 60;
  const joined = 16;
  for (let k = Math.max(1, few ? 1 : last - joined); k <= last; k++) {
    context.globalAlpha = Math.max(few ? 0.3 : 0, 0.75 * (1 - (last - k) / (joined + 1)));
    frame.line([[run.x[k - 1], run.sharpness[k - 1]], [run.x[k], run.sharpness[k]]], { colour, width: 1.1 });
  }
  context.fillStyle = colour;
  context.globalAlpha = few ? 0.8 : 0.5;
  for (let k = 0; k <= last; k++) {
    context.fillRect(frame.xScale(run.x[k]) - 1.5, frame.yScale(run.sharpness[k]) - 1.5, 3, 3);
  }
  context.globalAlpha = 1;
  frame.ball(run.x[last], run.sharpness[last], colour);
}

function drawSharpness(canvas, view) {
  const [low, high] = sharpnessRange(runsOf(view));
  const frame = new Frame(canvas, { xRange: [0, 1.03 * view.setting.steps], yRange: [low, high] });
  const { colours } = frame;
  frame.axes({
    xTicks: ticks(0, view.setting.steps, 5), yTicks: ticks(low, high, 5), xText: String,
    xTitle: "step, t", yTitle: "sharpness, S",
  });
  frame.inside(() => {
    const steps = view.setting.steps;
    const thresholds = (view.ghost ?? view.run).threshold;
    frame.line(thresholds.map((value, k) => [k, value]).concat([[steps, thresholds.at(-1)]]),
      { colour: colours.theory, width: 1.3, dash: DASHED });
    for (const each of [view.law, view.ghostLaw]) {
      if (!each || !Number.isFinite(each.finalSharpness)) continue;
      frame.line([[0, each.finalSharpness], [steps, each.finalSharpness]],
        { colour: colours.theory, width: 1.3, dash: DASH_DOTTED });
    }
    for (const [run, name] of drawn(view)) drawSeries(frame, view, run, run.sharpness, colours[name]);
  });
}

/** A run's values up to a step, with a ball there; beyond it they are pale, and hidden while the run plays. */
function drawSeries(frame, view, run, values, colour) {
  const { context } = frame;
  const last = Math.min(view.step, values.length - 1);
  const points = values.map((value, k) => [k, value]);
  context.globalAlpha = view.playing ? 0 : 0.2;
  frame.line(points.slice(last), { colour, width: 2 });
  context.globalAlpha = 1;
  frame.line(points.slice(0, last + 1), { colour, width: 2.4 });
  frame.ball(last, values[last], colour, 5);
}

function drawLoss(canvas, view) {
  const spikes = runsOf(view).flatMap((run) => run.loss.filter((_, k) => run.sharpness[k] < 1.35 * library.curvature));
  const most = Math.max(...spikes.filter(Number.isFinite));
  const high = Math.pow(10, Math.ceil(Math.log10(most) + 0.2));
  const low = high * 1e-9;
  const frame = new Frame(canvas, { xRange: [0, 1.03 * view.setting.steps], yRange: [low, high], yLog: true });
  const powers = [0, 3, 6, 9].map((k) => high * Math.pow(10, -k));
  frame.axes({
    xTicks: ticks(0, view.setting.steps, 5), yTicks: powers, xText: String,
    yText: (value) => `10${[...String(Math.round(Math.log10(value)))].map((sign) => SUPERSCRIPTS[sign]).join("")}`,
    xTitle: "step, t", yTitle: "loss, L",
  });
  frame.inside(() => {
    for (const [run, name] of drawn(view)) {
      drawSeries(frame, view, run, run.loss.map((value) => (value > 0 ? value : NaN)), frame.colours[name]);
    }
  });
}

function drawLaw(canvas, view) {
  const frame = new Frame(canvas, { xRange: [1e-3, 1e2], yRange: [0.8, 120], xLog: true, yLog: true });
  const { colours } = frame;
  frame.axes({
    xTicks: [1e-3, 1e-2, 0.1, 1, 10, 100], yTicks: [1, 3, 10, 30, 100], xText: String, yText: String,
    xTitle: "inertia number, κ", yTitle: "overshoot, G = drop/(2y₀)",
  });
  frame.inside(() => {
    const curve = [];
    for (let k = 0; k <= 150; k++) {
      const kappa = Math.pow(10, -3 + 5 * k / 150);
      curve.push([kappa, overshoot(kappa)]);
    }
    frame.line(curve, { colour: colours.theory, width: 1.6, dash: DASH_DOTTED });
    const points = [[view.run, view.setting, view.law, view.setting.momentum === 0 ? "GD" : "PHB"]];
    if (view.ghost) points.unshift([view.ghost, matched(view.setting), view.ghostLaw, "GD"]);
    for (const [run, setting, theory, name] of points) {
      const measured = measuredOvershoot(run, setting);
      if (Number.isFinite(theory.kappa) && measured > 0) frame.ball(theory.kappa, measured, colours[name], 7);
    }
  });
  frame.label("law", frame.xScale(24), frame.yScale(70), { align: "right", colour: colours.text });
}

const DRAW = { valley: drawValley, sharpness: drawSharpness, loss: drawLoss, law: drawLaw };
