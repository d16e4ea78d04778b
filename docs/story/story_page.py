"""Put the story together: docs/catapults.html, one page of HTML that needs neither server nor network.

Formulas, thresholds, the overshoot law and colours are printed from selfstab's own definitions.
"""

import html
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sympy
from sympy.codegen.rewriting import create_expand_pow_optimization
from sympy.printing import jscode

import selfstab as ss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.plotting.methods import METHOD_COLOURS
from selfstab.theory.catapult import SERIES
from selfstab.theory.overshoot_table import CHEBYSHEV, FAR, TABLE

HERE = Path(__file__).parent
PAGE = HERE.parent / "catapults.html"
SCRIPTS = ("model.js", "sentences.js", "panels.js", "controls.js", "stages.js", "page.js")

CURVATURE = 1.0
"""Sharpness of the valley at the start, in 1/lr."""

STABILIZATION = 1.0
"""b², the squared slope of the sharpness along the valley's floor."""

FLIP = 1e-3
"""Swing of the start, in units of the weights."""

RAMP_START = 0.95
"""Learning rate at the start of a warmup, in units of the one whose threshold is the start's sharpness."""

MOMENTUM = 0.9
LOOKAHEAD_EXCESS = 0.02
WARMUP_EXCESS = 0.1
LOOKAHEADS = tuple(round(0.05 * k, 2) for k in range(19))
WARMUPS = tuple(range(300, 2001, 50))


MARK = "<!-- links to the manual -->"
LINKS = {
    "learn/first_catapult": "a first catapult",
    "theory/a5_overshoot": "the overshoot law",
    "theory/a8_warmup": "warmup",
    "theory/a7_edge": "the edge of stability",
    "theory/a5b_lookahead": "lookahead",
    "experiments": "real models",
    "index": "all of the manual",
}
"""Pages of the manual that go on from the story, and what the links to them say."""


def main(path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page(lookahead_law(), warmup_law()), encoding="utf-8")
    print(f"wrote {path}")


def page(lookahead: Any, warmup: Any) -> str:
    """Return the page with the tables of the law with lookahead and of the estimate for warmups."""
    text = (HERE / "page.html").read_text(encoding="utf-8")
    definitions = f"const library = {library(lookahead, warmup)};"
    parts = {
        "style": (HERE / "story.css").read_text(encoding="utf-8"),
        "script": "\n".join([definitions, *((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)]),
        "momentum end": f"{momentum_end():.3f}",
    }
    for mark, part in [(MARK, MARK), *(("{{ " + name + " }}", part) for name, part in parts.items())]:
        if text.count(mark) != 1:
            raise ValueError(f"page.html must have {mark} once, got it {text.count(mark)} times")
        text = text.replace(mark, part)
    return text


def linked(text: str, addresses: dict[str, str]) -> str:
    """Return the page with links to the manual, by the address of each of its pages."""
    links = [f'<a href="{html.escape(addresses[name])}">{words}</a>' for name, words in LINKS.items()]
    return text.replace(MARK, f"<p>Read on in the manual: {', '.join(links)}.</p>")


def library(lookahead: Any, warmup: Any) -> str:
    """Return selfstab's definitions as an object of JavaScript."""
    numbers = {
        "colours": {name: METHOD_COLOURS[name] for name in ("GD", "PHB")},
        "curvature": CURVATURE,
        "stabilization": STABILIZATION,
        "flip": FLIP,
        "rampStart": RAMP_START,
        "overshoot": {
            "table": TABLE,
            "series": [float(c) for c in SERIES],
            "chebyshev": CHEBYSHEV,
            "far": FAR,
        },
        "lookaheadLaw": lookahead,
        "warmupLaw": warmup,
    }
    entries = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in numbers.items()]
    entries += [f"{name}: ({', '.join(arguments)}) => {code(value)}" for name, arguments, value in formulas()]
    return "{\n  " + ",\n  ".join(entries) + ",\n}"


def formulas() -> list[tuple[str, tuple[str, ...], Any]]:
    """Return name, arguments and expression of each formula of the loss and of the update."""
    loss = ss.CubicTaylor(CURVATURE)
    parameters = tuple(loss.parameters)
    expression = loss.expression
    symbols = {symbol.name: symbol for symbol in expression.free_symbols}
    x, z = symbols["x"], symbols["z"]
    at = ("x", "z", *parameters)

    momentum, lookahead, lr, w, v, g = sympy.symbols(
        "momentum lookahead lr weight velocity gradient", real=True
    )
    settings: Any = SimpleNamespace(momentum=momentum, lookahead=lookahead)
    weight, (velocity,) = HeavyBall.rule(settings, w, (v,), g, lr, 0)
    if sympy.expand(weight - w - velocity) != 0:
        raise ValueError(f"the weight must move by the velocity, got {weight} and {velocity}")
    above, below = HeavyBall.threshold_fraction(settings)
    return [
        ("loss", at, expression),
        ("slopeX", at, expression.diff(x)),
        ("slopeZ", at, expression.diff(z)),
        ("hessianXX", at, expression.diff(x, 2)),
        ("hessianXZ", at, expression.diff(x, z)),
        ("hessianZZ", at, expression.diff(z, 2)),
        ("gradientPoint", ("weight", "velocity", "lookahead"), HeavyBall.gradient_point(settings, w, (v,))),
        ("nextVelocity", ("velocity", "gradient", "lr", "momentum"), velocity),
        (
            "threshold",
            ("lr", "momentum", "lookahead"),
            sympy.nsimplify(above) / (lr * sympy.nsimplify(below)),
        ),
    ]


def momentum_end() -> float:
    """Return the sharpness that the second experiment ends at."""
    lr = (1.0 + LOOKAHEAD_EXCESS) * 2.0 * (1.0 + MOMENTUM) / CURVATURE
    return float(catapult(ss.HeavyBall(lr, MOMENTUM), 600).sharpness[-1])


def catapult(optimizer: ss.HeavyBall, steps: int) -> Any:
    """Return a run from the story's start."""
    loss = ss.CubicTaylor(CURVATURE)
    start, previous = ss.flip_start(loss, loss.minimum(), size=FLIP)
    return ss.simulate(loss, optimizer, start, steps, previous=previous, keep=("sharpness", "weights"))


def code(expression: Any) -> str:
    """Return an expression as JavaScript, powers as products."""
    return jscode(create_expand_pow_optimization(4)(sympy.sympify(expression))).replace("\n", " ")


def lookahead_law() -> dict[str, Any]:
    """Return the overshoot of each lookahead by the law of linear optimizers, at one momentum and one excess."""
    overshoots = [
        float(ss.theory.slow_overshoot(ss.HeavyBall(1.0, MOMENTUM, lookahead=each), LOOKAHEAD_EXCESS))
        for each in LOOKAHEADS
    ]
    return {
        "momentum": MOMENTUM,
        "excess": LOOKAHEAD_EXCESS,
        "lookahead": LOOKAHEADS,
        "overshoot": [round(each, 6) for each in overshoots],
    }


def warmup_law() -> dict[str, Any]:
    """Return the sharpness after the catapult of each warmup, with momentum and without, by theory.

    The swing at the crossing, from which the delay follows, is read off a run.
    """
    final: dict[str, list[float]] = {}
    for name, momentum in (("GD", 0.0), ("PHB", MOMENTUM)):
        crossing = 2.0 * (1.0 + momentum) / CURVATURE
        start, end = RAMP_START * crossing, (1.0 + WARMUP_EXCESS) * crossing
        final[name] = []
        for steps in WARMUPS:
            run = catapult(ss.HeavyBall(ss.LinearWarmup(start, end, steps), momentum), steps)
            at = int((run.max_stable_sharpness.values < CURVATURE).argmax())
            swing = abs(float(run.weights[at, 0]))
            ramp = ss.theory.ramp_rate(CURVATURE, momentum, start, end, steps)
            drop = ss.theory.warmup_drop(CURVATURE, swing, momentum, ramp, STABILIZATION)
            final[name].append(round(CURVATURE - float(drop), 6))
    return {"momentum": MOMENTUM, "excess": WARMUP_EXCESS, "warmup": WARMUPS, "finalSharpness": final}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
