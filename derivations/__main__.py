"""Run every derivation: print each as mathematics; exit 0 if all steps hold, 1 at the first that does not."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from . import pages


def scripts() -> list[str]:
    """Return the names of the scripts, in the order of the theory: q1, q2, ..., a1, ..., a5, a5b, ..., m2.

    What follows from a result of the same number stands after it.
    """
    names = [
        m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if re.match(r"[aqm]\d+b?_", m.name)
    ]
    consequences = ("a5_deviation", "a7_drift")
    return sorted(
        names, key=lambda name: ("qam".index(name[0]), int(re.findall(r"\d+", name)[0]), name in consequences)
    )


def main(names: Sequence[str] = (), latex: bool = False, folder: Path | None = None) -> int:
    """Run the scripts whose name begins with one of `names`, such as a5 (all by default); return 0.

    They are printed as mathematics, or as a LaTeX document, or written as HTML pages into `folder`.
    """
    known = scripts()
    wanted = [name.lower() for name in names]
    for name in wanted:
        if not any(script.split("_")[0] == name or script == name for script in known):
            raise ValueError(_unknown(name, known))
    chosen = [s for s in known if not wanted or s in wanted or s.split("_")[0] in wanted]
    modules = {}
    for name in chosen:
        script = modules[name] = importlib.import_module(f".{name}", __package__)
        if not latex and folder is None:
            print("=" * 79)
            script.PROOF.show(script.RESULTS)
    if latex:
        print(pages.latex(modules))
        return 0
    if folder is not None:
        print(f"wrote {pages.write_html(modules, folder)}")
    total = sum(len(script.PROOF.steps) for script in modules.values())
    print(f"{len(chosen)} derivation{'s' * (len(chosen) > 1)}, {total} steps: each holds.")
    return 0


def _unknown(name: str, known: Sequence[str]) -> str:
    """Return what a message says of a name that is none: the scripts like it, then the short names of all."""
    short = list(dict.fromkeys(script.split("_")[0] for script in known))
    close = difflib.get_close_matches(name, known, n=1)
    if not close:
        likely = difflib.get_close_matches(name.split("_")[0], short, n=1)
        close = [script for script in known if script.split("_")[0] in likely]
    hint = f"; did you mean {' or '.join(close)}? Known" if close else "; known"
    return f"name must be one of {len(known)} derivations, got {name!r}{hint}: {', '.join(short)}"


def _from_command_line() -> int:
    parser = argparse.ArgumentParser(prog="python -m derivations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as a5 or a5_overshoot; all by default")
    parser.add_argument("--latex", action="store_true", help="print a LaTeX document")
    parser.add_argument("--html", type=Path, metavar="DIR", help="write HTML pages with MathML into DIR")
    arguments = parser.parse_args()
    try:
        code = main(arguments.names, arguments.latex, arguments.html)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough, as with | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(_from_command_line())
