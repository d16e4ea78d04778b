"""Run every derivation: print each as mathematics; exit 0 if all steps hold, 1 at the first that does not."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path


def scripts() -> list[str]:
    """Return the names of the scripts, in the order of the theory: q1, q2, ..., a1, a2, ..."""
    names = [
        m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if re.match(r"[aq]\d+_", m.name)
    ]
    return sorted(names, key=lambda name: (name[0] != "q", int(re.findall(r"\d+", name)[0])))


if __name__ == "__main__":
    total = 0
    for name in scripts():
        script = importlib.import_module(f".{name}", __package__)
        print("=" * 100)
        script.PROOF.show(script.RESULTS)
        total += len(script.PROOF.steps)
    print(f"{len(scripts())} derivations, {total} steps: each holds.")
