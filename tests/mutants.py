"""Mutation testing of the closed forms: one wrong sign, factor, power or comparison at a time must make a test fail.

    python tests/mutants.py [module ...] [--jobs 2] [--output mutants.json] [--only survivors.json]

Each mutant is one change of one node of a module's syntax tree, made in memory. The tests that ran the function it
stands in (or, for a module's constants, any function of the module), and tests of the same files that call nothing,
are run in a forked process, the quickest first, up to the first failure. Decorators, such as the ranges of a closed
form's arguments, and constants of a module are mutated, too. Left alone are docstrings, annotations and the texts of
errors.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import json
import os
import pkgutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "selfstab" / "theory"
TESTS = ["tests/theory", "selfstab/theory"]
SECONDS = 300
"""A mutant that has not ended by then hangs, and counts as found."""

BROKEN = 99
"""How a process ends that could not run the tests."""

CHECK = "closed_form.<locals>.decorate.<locals>.checked"
"""What a closed form's name stands for: it checks the arguments and calls the formula."""

SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.Mod: (ast.Mult,), ast.FloorDiv: (ast.Mult,), ast.MatMult: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: where it stands, in which function, and the line before and after."""

    module: str
    function: str
    line: int
    before: str
    after: str
    source: str


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that may stand in a node's place."""
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        for other in SWAPS.get(type(node.op), ()):
            changed = copy.copy(node)
            changed.op = other()
            yield changed
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in SWAPS.get(type(node.ops[0]), ()):
            changed = copy.copy(node)
            changed.ops = [other()]
            yield changed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in dict.fromkeys((node.value + 1, 2 * node.value)):
            if value != node.value:
                yield ast.copy_location(ast.Constant(value), node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.keywords:
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id == "np":
            if len(node.args) == 1:
                yield node.args[0]
            elif node.func.attr == "where" and len(node.args) == 3:
                yield ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], [])


def places(tree: ast.Module) -> Iterator[tuple[str, ast.AST, str, int | None]]:
    """Yield (function or class, parent, field, index) of every expression that may be changed."""

    def below(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST, str, int | None]]:
        if isinstance(node, (ast.Raise, ast.JoinedStr)):
            return
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "type_params"):
                continue
            children = value if isinstance(value, list) else [value]
            for k, child in enumerate(children):
                if not isinstance(child, ast.AST):
                    continue
                named = isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not function
                inner = child.name if named else function
                yield inner, node, field, k if isinstance(value, list) else None
                yield from below(child, inner)

    yield from below(tree, "")


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = text.splitlines()
    for function, parent, field, index in places(tree):
        original = getattr(parent, field) if index is None else getattr(parent, field)[index]
        for changed in changes(original):
            _put(parent, field, index, changed)
            source = ast.unparse(ast.fix_missing_locations(copy.deepcopy(tree)))
            shown = ast.unparse(changed)
            _put(parent, field, index, original)
            line = original.lineno
            yield Mutant(path.stem, function, line, lines[line - 1].strip(), shown, source)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module from a text."""

    def __init__(self, mutant: Mutant) -> None:
        self._name, self._source = f"selfstab.theory.{mutant.module}", mutant.source
        self._path = str(PACKAGE / f"{mutant.module}.py")

    def find_spec(self, name, path=None, target=None):
        # A location, as an imported file has: the doctests' collector reads __file__.
        return (
            importlib.util.spec_from_file_location(name, self._path, loader=self)
            if name == self._name
            else None
        )

    def get_filename(self, name):
        return self._path

    def get_data(self, path):
        return self._source.encode()

    def path_stats(self, path):
        raise OSError


class _Watch:
    """A pytest plugin: which functions of the package each test runs, how long it takes, and whether it passes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.ran: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_protocol(self, item):
        seen = self.ran[item.nodeid]
        package = str(PACKAGE)

        def watch(frame, event, _):
            if event == "call" and frame.f_code.co_filename.startswith(package):
                seen.add((Path(frame.f_code.co_filename).stem, frame.f_code.co_qualname.split(".")[0]))
                # A refusal never gets to the formula: its declaration is what is tested.
                if frame.f_code.co_qualname == CHECK and (formula := frame.f_locals.get("formula")):
                    seen.add((formula.__module__.rpartition(".")[2], formula.__qualname__))

        sys.setprofile(watch)

    def pytest_runtest_teardown(self):
        sys.setprofile(None)


def forked(call, seconds: int = 0) -> int:
    """Run `call` in a forked process without output, for at most `seconds` if not 0; return the process's id."""
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    signal.alarm(seconds)
    code = BROKEN
    try:
        code = int(call())
    finally:
        os._exit(code)


def watched() -> _Watch:
    """Run all tests once on the code as it is."""
    import pytest

    reader, writer = os.pipe()

    def run() -> int:
        os.close(reader)
        watch = _Watch()
        code = pytest.main(["-q", "-p", "no:cacheprovider", "--assert=plain", *TESTS], [watch])
        with os.fdopen(writer, "w") as file:
            json.dump([watch.seconds, {k: sorted(v) for k, v in watch.ran.items()}, watch.failed], file)
        return code

    child = forked(run)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    watch = _Watch()
    if text:
        watch.seconds, ran, watch.failed = json.loads(text)
        watch.ran = {k: {tuple(pair) for pair in v} for k, v in ran.items()}
    if status or watch.failed or not watch.ran:
        sys.exit(f"the tests must pass before mutants mean anything; failed: {watch.failed or status}")
    return watch


def tests_of(mutant: Mutant, watch: _Watch) -> list[str]:
    """Return the tests that run the mutant's function, the quickest first; of a table, those that run what reads it."""
    where = {(mutant.module, mutant.function)} if mutant.function else {(mutant.module, "")}
    if "def " not in mutant.source:
        name = f"selfstab.theory.{mutant.module} import"
        where = {(path.stem, "") for path in PACKAGE.glob("*.py") if name in path.read_text(encoding="utf-8")}
    tests = {
        test
        for test, ran in watch.ran.items()
        if any(module == m and function in ("", name) for m, function in where for module, name in ran)
    }
    # Constants and defaults may be read by a test that calls nothing.
    files = {test.partition("::")[0] for test in tests}
    tests |= {test for test, ran in watch.ran.items() if not ran and test.partition("::")[0] in files}
    return sorted(tests, key=lambda test: watch.seconds.get(test, 0.0))


def found(mutant: Mutant, tests: list[str]) -> int:
    """Run the tests on the mutant in a forked process; return the process's id."""
    import pytest

    def run() -> int:
        sys.meta_path.insert(0, _Finder(mutant))
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", *tests])

    return forked(run, SECONDS)


def check_control(name: str, watch: _Watch) -> None:
    """Run the tests on a module as it is, through the mutants' import: one that fails would pass for a test's find."""
    source = ast.unparse(ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8")))
    control = Mutant(name, "", 1, "", "", source)
    tests = tests_of(control, watch)
    if tests and os.waitstatus_to_exitcode(os.waitpid(found(control, tests), 0)[1]) != 0:
        sys.exit(f"{name}: the tests fail on the module unchanged, so that nothing they find counts")


def main() -> None:
    """Run all mutants and print those that no test found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", type=Path, help="an --output of before: try its survivors only")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    # What every child needs, once; the package itself is imported by the children.
    scripts = [module.name for module in pkgutil.iter_modules([str(ROOT / "derivations")])]
    for name in ["hypothesis", "scipy.integrate", "scipy.special", "mpmath", "selfstab.validation"]:
        importlib.import_module(name)
    for name in scripts:
        if name != "__main__":
            importlib.import_module(f"derivations.{name}")
    # A watched test is slow, and no mutant is found by that.
    hypothesis = importlib.import_module("hypothesis")
    hypothesis.settings.register_profile("mutants", deadline=None)
    hypothesis.settings.load_profile("mutants")
    watch = watched()
    names = arguments.modules or [path.stem for path in sorted(PACKAGE.glob("*.py"))]
    chosen = None
    if arguments.only:
        rows = json.loads(arguments.only.read_text(encoding="utf-8"))["survivors"]
        chosen = {(row["module"], row["before"], row["after"]) for row in rows}
        names = [name for name in names if any(name == module for module, _, _ in chosen)]
    for name in names:
        check_control(name, watch)
    waiting = [
        mutant
        for name in names
        for mutant in mutants(PACKAGE / f"{name}.py")
        if chosen is None or (mutant.module, mutant.before, mutant.after) in chosen
    ]
    began, running, survivors, killed = time.monotonic(), {}, [], 0
    total = len(waiting)
    while waiting or running:
        while waiting and len(running) < arguments.jobs:
            mutant = waiting.pop(0)
            tests = tests_of(mutant, watch)
            if tests:
                running[found(mutant, tests)] = mutant
            else:
                survivors.append(mutant)
        child, status = os.wait()
        mutant = running.pop(child)
        if os.waitstatus_to_exitcode(status) == BROKEN:
            sys.exit(f"the tests of a mutant could not be run: {mutant}")
        if status == 0:
            survivors.append(mutant)
            print(
                f"survived: {mutant.module}.py:{mutant.line} {mutant.before}  ->  {mutant.after}", flush=True
            )
        else:
            killed += 1
        done = total - len(waiting) - len(running)
        if done % 50 == 0:
            print(f"{done} of {total}, {time.monotonic() - began:.0f} s", flush=True)
    print(
        f"{killed} of {total} mutants found by a test ({100 * killed / total:.1f}%), {time.monotonic() - began:.0f} s"
    )
    if arguments.output:
        rows = [{k: v for k, v in asdict(m).items() if k != "source"} for m in survivors]
        arguments.output.write_text(
            json.dumps({"mutants": total, "found": killed, "survivors": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
