/* One sentence under each panel. It says what happens at this step, or how the run ended. */

const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A number as prose writes it: 0.96, or 4.2 × 10⁻⁴. */
function written(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4)) {
    return String(Number(value.toPrecision(digits))).replace("-", "−");
  }
  const [mantissa, exponent] = value.toExponential(Math.min(digits, 2) - 1).split("e");
  const raised = [...String(Number(exponent))].map((sign) => SUPERSCRIPTS[sign]).join("");
  return `${mantissa.replace("-", "−")} × 10${raised}`;
}

/** A sharpness, with three decimals. */
function sharp(value) {
  return value.toFixed(3).replace("-", "−");
}

/** The method's name in a sentence. */
function methodName(setting) {
  if (setting.momentum === 0) return "gradient descent";
  if (setting.lookahead === 0) return "momentum";
  return setting.lookahead === setting.momentum ? "Nesterov’s method" : "momentum with lookahead";
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

/** Whether the weights stay at rest from a step on: for twenty steps no swing, and no change of the sharpness. */
function restsFrom(run, at, small) {
  const last = Math.min(at + 20, run.x.length - 1);
  for (let k = at; k <= last; k++) {
    if (!(Math.abs(run.x[k]) < small)) return false;
    if (!(Math.abs(run.sharpness[k] - run.sharpness[at]) < 0.01 * run.sharpness[at])) return false;
  }
  return true;
}

/** What happens in the valley at a step. */
function valleySentence({ setting, run, step }) {
  const name = capital(methodName(setting));
  if (run.divergedAt >= 0 && step >= run.divergedAt - 1) {
    return `${name} diverges at step ${run.divergedAt}: the walls end before the fall does.`;
  }
  const at = Math.min(step, run.x.length - 1);
  if (at === 0) return "The start: on the floor, a hair to one side.";
  // Of a run that diverges the last swings are far larger than all that went before.
  const { swing, step: peak } = largestSwing(run.divergedAt < 0 ? run : { x: run.x.slice(0, at + 1) });
  const above = run.sharpness[at] > run.threshold[at];
  const small = Math.abs(run.x[at]) < 0.02 * swing;
  if (setting.sharpening > 0) {
    if (above) return "Above the threshold: the swing grows, and pushes down more and more.";
    return small
      ? "Below the threshold, with no swing left: training sharpens again."
      : "Below the threshold: the swing shrinks.";
  }
  if (setting.warmup > 0 && at < peak) {
    if (!above) return "The threshold is still above. Every jump is shorter than the last.";
    return small
      ? "The threshold has passed. The swing grows, but is still tiny."
      : "The swing has grown back: now it throws the weights down.";
  }
  if (setting.excess <= 0 && setting.warmup === 0) {
    return setting.excess < 0
      ? "Below the threshold every jump is shorter than the last. Nothing is thrown."
      : "Right at the threshold the swing neither grows nor dies at first.";
  }
  if (above) return "Each step lands on the opposite wall, a little higher than before.";
  if (!restsFrom(run, at, 0.02 * swing)) {
    return "Below the threshold the swing dies. Its push still carries the weights down.";
  }
  return `${name} rests on the floor again, at sharpness ${sharp(run.sharpness[at])}.`;
}

/** Where the sharpness is, or where it has ended. */
function sharpnessSentence({ setting, run, ghost, law, ghostLaw, step }) {
  const name = methodName(setting);
  const last = setting.steps;
  const value = (of, at) => (of.divergedAt >= 0 && at >= of.divergedAt ? "no value" : sharp(of.sharpness[at]));
  if (step < last) {
    const other = ghost ? `, gradient descent at ${value(ghost, step)}` : "";
    return `Step ${step}: ${name} is at ${value(run, step)}${other}.`;
  }
  if (run.divergedAt >= 0) {
    return ghost
      ? `${capital(name)} diverges. Gradient descent ends at ${value(ghost, last)}, from the same start.`
      : `${capital(name)} diverges at step ${run.divergedAt}.`;
  }
  if (setting.sharpening > 0) {
    const range = (of) => `${sharp(Math.min(...of.sharpness))} and ${sharp(Math.max(...of.sharpness))}`;
    return ghost
      ? `${capital(name)} moves between ${range(run)}, gradient descent between ${range(ghost)}.`
      : `${capital(name)} moves between ${range(run)}: it stays near the threshold.`;
  }
  const said = (of) => sharp(of.finalSharpness);
  if (!ghost) {
    if (setting.excess <= 0 && setting.warmup === 0) return "The sharpness stays where it is: no catapult.";
    const theory = Number.isFinite(law.finalSharpness) ? ` Theory says ${said(law)}.` : "";
    return `Gradient descent falls from ${value(run, 0)} to ${value(run, last)}.${theory}`;
  }
  const theory = Number.isFinite(law.finalSharpness)
    ? ` Theory says ${said(law)} and ${said(ghostLaw)}.` : "";
  return `${capital(name)} ends at ${value(run, last)}, gradient descent at ${value(ghost, last)}.${theory}`;
}

/** How high the loss has risen. */
function lossSentence({ setting, run, ghost }) {
  const name = capital(methodName(setting));
  if (run.divergedAt >= 0) return `${name}’s loss leaves every scale.`;
  const spike = (of) => Math.max(...of.loss);
  if (setting.excess <= 0 && setting.warmup === 0 && setting.sharpening === 0) {
    return "The loss only falls: there is no spike.";
  }
  if (!ghost) return `The loss peaks at ${written(spike(run), 2)}, then falls to nothing.`;
  const ratio = spike(run) / spike(ghost);
  return `${name === "Momentum" ? "Momentum’s" : "This"} spike is ${written(ratio, 2)} times as high as gradient descent’s.`;
}

/** The overshoot beside the law. */
function lawSentence({ setting, run, law }) {
  if (law.reason) return law.reason;
  const measured = measuredOvershoot(run, setting);
  const name = capital(methodName(setting));
  if (Number.isNaN(measured)) return `The law says ${written(law.overshoot)}; ${methodName(setting)} has not settled.`;
  const kappa = Number.isFinite(law.kappa) ? `κ is ${written(law.kappa, 2)}. ` : "";
  return `${kappa}${name} drops ${written(measured)} times as far as 2y₀. The law says ${written(law.overshoot)}.`;
}

const SENTENCES = { valley: valleySentence, sharpness: sharpnessSentence, loss: lossSentence, law: lawSentence };

/** What one of the panels says of a state. */
function sentence(panel, state) {
  return SENTENCES[panel](state);
}
