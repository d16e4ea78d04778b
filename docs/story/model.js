/* A run of gradient descent with momentum in the valley ½(1 + z)x² − αz, and what theory says of it.

   A setting has: excess ε (relative, of the start over the threshold), momentum β, lookahead γ, warmup (steps, 0: none),
   sharpening α, steps. Every formula with `library.` before it is printed from selfstab. */

const ESCAPE = 1e6;

/** Learning rate whose threshold is the sharpness of the start, in 1/sharpness. */
function crossingRate(setting) {
  return library.threshold(1, setting.momentum, setting.lookahead) / library.curvature;
}

/** Learning rate of the update step → step + 1: constant, or a linear warmup to its last value. */
function learningRate(setting, step) {
  const end = (1 + setting.excess) * crossingRate(setting);
  if (setting.warmup === 0) return end;
  const start = library.rampStart * crossingRate(setting);
  return start + (end - start) * Math.min(step / setting.warmup, 1);
}

/** Largest eigenvalue of the Hessian. */
function topEigenvalue(xx, xz, zz) {
  return 0.5 * (xx + zz + Math.sqrt((xx - zz) * (xx - zz) + 4 * xz * xz));
}

/** Run a setting; arrays have an entry for each step, the start included, up to a divergence. */
function simulate(setting) {
  const parameters = [library.curvature, setting.sharpening, library.stabilization];
  const run = { x: [], z: [], sharpness: [], loss: [], lr: [], threshold: [], divergedAt: -1 };
  let x = library.flip, z = 0;
  let velocityX = 2 * library.flip, velocityZ = 0;
  for (let step = 0; step <= setting.steps; step++) {
    if (!(Math.abs(x) <= ESCAPE && Math.abs(z) <= ESCAPE)) {
      run.divergedAt = step;
      break;
    }
    const at = [x, z, ...parameters];
    const lr = learningRate(setting, step);
    run.x.push(x);
    run.z.push(z);
    run.loss.push(library.loss(...at));
    run.sharpness.push(topEigenvalue(library.hessianXX(...at), library.hessianXZ(...at), library.hessianZZ(...at)));
    run.lr.push(lr);
    run.threshold.push(library.threshold(lr, setting.momentum, setting.lookahead));
    const ahead = [
      library.gradientPoint(x, velocityX, setting.lookahead),
      library.gradientPoint(z, velocityZ, setting.lookahead),
      ...parameters,
    ];
    velocityX = library.nextVelocity(velocityX, library.slopeX(...ahead), lr, setting.momentum);
    velocityZ = library.nextVelocity(velocityZ, library.slopeZ(...ahead), lr, setting.momentum);
    x += velocityX;
    z += velocityZ;
  }
  return run;
}

/** Gradient descent at the same thresholds. */
function matched(setting) {
  return { ...setting, momentum: 0, lookahead: 0 };
}

/** Inertia number κ = ε((1 + β)/(1 − β))². */
function inertiaNumber(excess, momentum) {
  const ratio = (1 + momentum) / (1 - momentum);
  return excess * ratio * ratio;
}

/** Sum of cₖTₖ(position), by Clenshaw's recurrence. */
function chebyshev(position, coefficients) {
  let next = 0, afterNext = 0;
  for (let k = coefficients.length - 1; k > 0; k--) {
    [next, afterNext] = [coefficients[k] + 2 * position * next - afterNext, next];
  }
  return coefficients[0] + position * next - afterNext;
}

/** Sum of cₖvᵏ. */
function polynomial(value, coefficients) {
  return coefficients.reduceRight((sum, coefficient) => sum * value + coefficient, 0);
}

/** The overshoot law G(κ): drop of the sharpness in a catapult, in units of gradient descent's 2y₀. */
function overshoot(kappa) {
  const { table: [lowest, highest], series, chebyshev: coefficients, far } = library.overshoot;
  if (kappa < lowest) return polynomial(kappa, series);
  if (kappa > highest) return 0.5 + Math.pow(kappa, 2 / 3) * polynomial(1 / Math.sqrt(kappa), far);
  const position = 2 * Math.log(kappa / lowest) / Math.log(highest / lowest) - 1;
  return 1 + kappa / Math.cbrt(1 + kappa) * chebyshev(position, coefficients);
}

/** The swing δ = √(2α)/b at which sharpening and self-stabilization balance, in units of the weights. */
function edgeDisplacement(sharpening) {
  return Math.sqrt(2 * sharpening / library.stabilization);
}

/** Entry of a list at the place where another one has a value, or NaN. */
function entry(values, places, place) {
  const found = places.findIndex((each) => Math.abs(each - place) < 1e-9);
  return found < 0 ? NaN : values[found];
}

/** What theory says of a run: κ, overshoot and final sharpness; `reason` where it says nothing. */
function law(setting) {
  const { excess, momentum, lookahead, warmup, sharpening } = setting;
  const threshold = library.curvature / (1 + excess);
  const y0 = library.curvature - threshold;
  const silent = (reason) => ({ reason, y0, threshold, kappa: NaN, overshoot: NaN, finalSharpness: NaN });
  if (sharpening > 0) return silent("The law is for a loss that does not sharpen by itself.");
  const alike = (table) => (momentum === 0 || momentum === table.momentum) && excess === table.excess;
  if (warmup > 0) {
    const table = library.warmupLaw;
    if (lookahead > 0 || !alike(table)) return silent("The law is for a constant learning rate.");
    const finalSharpness = entry(table.finalSharpness[momentum === 0 ? "GD" : "PHB"], table.warmup, warmup);
    return { ...silent("The law is for a constant learning rate."), finalSharpness };
  }
  if (excess <= 0) return silent("Below the threshold there is no catapult.");
  const kappa = inertiaNumber(excess, momentum);
  const table = library.lookaheadLaw;
  let factor = overshoot(kappa);
  if (lookahead > 0) {
    factor = alike(table) ? entry(table.overshoot, table.lookahead, lookahead) : NaN;
    if (Number.isNaN(factor)) return silent("The law is for momentum without lookahead.");
  }
  return {
    reason: "", y0, threshold, kappa: lookahead > 0 ? NaN : kappa, overshoot: factor,
    finalSharpness: threshold - y0 * (2 * factor - 1),
  };
}

/** Largest swing of a run so far, and its step. */
function largestSwing(run) {
  let swing = 0, step = 0;
  run.x.forEach((x, k) => {
    if (Math.abs(x) > swing) [swing, step] = [Math.abs(x), k];
  });
  return { swing, step };
}

/** Whether a run has come to rest: its last swing is below a hundredth of the largest. */
function settled(run) {
  return run.divergedAt < 0 && Math.abs(run.x.at(-1)) < 0.01 * largestSwing(run).swing;
}

/** Drop of a settled run's sharpness in units of 2y₀, or NaN. */
function measuredOvershoot(run, setting) {
  if (setting.warmup > 0 || setting.sharpening > 0 || setting.excess <= 0 || !settled(run)) return NaN;
  const y0 = library.curvature - library.curvature / (1 + setting.excess);
  return (run.sharpness[0] - run.sharpness.at(-1)) / (2 * y0);
}
