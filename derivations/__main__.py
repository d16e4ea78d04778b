"""Run every derivation: print each as mathematics; exit 0 if all steps hold, 1 at the first that does not."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from pathlib import Path


def scripts() -> list[str]:
    """Return the names of the scripts, in the order of the theory: q1, q2, ..., a1, ..., a5, a5b, ..., m2."""
    names = [
        m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if re.match(r"[aqm]\d+b?_", m.name)
    ]
    return sorted(names, key=lambda name: ("qam".index(name[0]), int(re.findall(r"\d+", name)[0])))


def main(names: list[str] | None = None) -> int:
    """Run and print the scripts whose name begins with one of `names`, such as a5 (all by default); return 0."""
    known = scripts()
    wanted = [name.lower() for name in names or []]
    for name in wanted:
        if not any(script.split("_")[0] == name or script == name for script in known):
            raise ValueError(f"name must be one of {', '.join(known)}, got {name!r}")
    chosen = [s for s in known if not wanted or s in wanted or s.split("_")[0] in wanted]
    total = 0
    for name in chosen:
        script = importlib.import_module(f".{name}", __package__)
        print("=" * 100)
        script.PROOF.show(script.RESULTS)
        total += len(script.PROOF.steps)
    print(f"{len(chosen)} derivation{'s' * (len(chosen) > 1)}, {total} steps: each holds.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
