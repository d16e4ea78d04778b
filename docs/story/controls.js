/* What can be set: name, symbol, range, and its value in words for the eye and for a screen reader. */

const SHARPENING_UNIT = 1e-6;

const CONTROLS = {
  lr: {
    label: "Learning rate", symbol: "η", min: 1.96, max: 2.12, step: 0.005,
    text: (value) => value.toFixed(3),
    spoken: (value) => `${value.toFixed(3)}, threshold ${(2 / value).toFixed(3)}`,
  },
  excess: {
    label: "Excess of the start", symbol: "ε", min: -0.02, max: 0.1, step: 0.001,
    text: (value) => `${written(100 * value, 2)}%`,
    spoken: (value) => `${Math.abs(100 * value).toFixed(1)} percent ${value < 0 ? "below" : "above"} the threshold`,
  },
  momentum: {
    label: "Momentum", symbol: "β", min: 0, max: 0.97, step: 0.01,
    text: (value) => value.toFixed(2),
    spoken: (value) => (value === 0 ? "0, gradient descent" : value.toFixed(2)),
  },
  warmup: {
    label: "Length of the warmup", symbol: "W", min: 0, max: 2000, step: 50,
    text: (value) => (value === 0 ? "none" : `${value} steps`),
    spoken: (value) => (value === 0 ? "none" : `${value} steps`),
  },
  sharpening: {
    label: "Progressive sharpening", symbol: "α", min: 0, max: 2e-5, step: 5e-7,
    text: (value) => (value === 0 ? "none" : `${written(value / SHARPENING_UNIT)} × 10⁻⁶`),
    spoken: (value) => (value === 0 ? "none" : `${written(value / SHARPENING_UNIT)} millionths`),
  },
  lookahead: {
    label: "Lookahead", symbol: "γ", min: 0, max: 0.95, step: 0.05,
    text: (value) => value.toFixed(2),
    spoken: (value) => (value === 0 ? "0, Polyak’s momentum" : value.toFixed(2)),
  },
};

const PLAIN = { excess: 0.02, momentum: 0, lookahead: 0, warmup: 0, sharpening: 0 };

/** The five presets, in the order of the story; each is a chapter, and a button of the last picture. */
const PRESETS = {
  "gradient-descent": { label: "Gradient descent", setting: PLAIN },
  momentum: { label: "+ momentum", setting: { ...PLAIN, momentum: 0.9 } },
  warmup: {
    label: "+ warmup", setting: { ...PLAIN, momentum: 0.9, excess: library.warmupLaw.excess, warmup: 600 },
  },
  sharpening: { label: "+ sharpening", setting: { ...PLAIN, momentum: 0.8, excess: 0, sharpening: 5e-6 } },
  nesterov: { label: "Nesterov", setting: { ...PLAIN, momentum: 0.9, lookahead: 0.9 } },
};

/** The pictures: preset, panels, controls with the ends of their ranges where these are narrower. */
const STAGES = {
  opening: { preset: "momentum", panels: ["valley", "sharpness"], controls: { momentum: { max: 0.94 } } },
  "gradient-descent": { preset: "gradient-descent", panels: ["valley", "sharpness"], controls: { lr: {} } },
  momentum: { preset: "momentum", panels: ["valley", "sharpness"], controls: { momentum: { max: 0.94 } } },
  overshoot: { preset: "momentum", panels: ["law", "loss"], controls: { excess: { min: 0.005, max: 0.03 } } },
  warmup: { preset: "warmup", panels: ["valley", "sharpness"], controls: { warmup: { min: 300 } } },
  sharpening: { preset: "sharpening", panels: ["valley", "sharpness"], controls: { sharpening: { min: 1e-6, max: 8e-6 } } },
  nesterov: { preset: "nesterov", panels: ["valley", "sharpness"], controls: { lookahead: { max: 0.9 } } },
  together: {
    preset: "momentum", panels: ["valley", "sharpness", "law", "loss"],
    controls: { excess: {}, momentum: {}, warmup: {}, sharpening: {}, lookahead: {} },
  },
};

/** A setting with the number of steps that shows what happens. */
function complete(values) {
  const setting = { ...PLAIN, ...values };
  if (values.lr !== undefined) {
    setting.excess = values.lr / library.threshold(1, 0, 0) * library.curvature - 1;
    delete setting.lr;
  }
  if (setting.sharpening > 0) setting.steps = 1500;
  else if (setting.warmup > 0) setting.steps = setting.warmup + 100;
  else setting.steps = 20 * Math.ceil(Math.min(Math.max(4.6 / Math.max(Math.abs(setting.excess), 1e-9), 60), 900) / 20);
  return setting;
}
