"""The package's face: names, where they live, what importing them costs, what docstrings cite."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

import selfstab as ss

PACKAGE = Path(ss.__file__).parent
# Copies of folders beside the package, in a wheel only; scripts, not modules of the library.
SCRIPTS = ("selfstab._derivations", "selfstab._figures", "selfstab._benchmarks")


def modules():
    return [
        module.name
        for module in pkgutil.walk_packages([str(PACKAGE)], "selfstab.")
        if not module.name.startswith(SCRIPTS) and not module.name.endswith("__main__")
    ]


def in_a_process(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_no_submodule_hides_a_public_name():
    """Protects functions from modules of the same name: after importing every module, each name is what it was."""
    code = f"""if True:
        import importlib, inspect
        for name in {modules()!r}:
            importlib.import_module(name)
        import selfstab as ss
        for name in ss._HOMES:
            assert callable(getattr(ss, name)) and not inspect.ismodule(getattr(ss, name)), name
        for name in ss._ROOMS:
            assert inspect.ismodule(getattr(ss, name)), name
    """
    in_a_process(code)


def test_public_names_are_those_promised():
    """Protects other people's scripts: these names and arguments are fixed."""
    signatures = {
        "HeavyBall": "lr momentum lookahead",
        "AveragedHeavyBall": "lr momentum",
        "QuasiHyperbolic": "lr momentum nu",
        "AggregatedMomentum": "lr momenta",
        "LinearOptimizer": "lr numerator denominator",
        "SymbolicOptimizer": "lr equations state_names parameters point",
        "LinearOptimizer.from_matrices": "lr matrix inputs outputs",
        "Adam": "lr beta1 beta2 eps bias_correction frozen_after second_moment",
        "RMSProp": "lr beta2 eps momentum bias_correction frozen_after second_moment",
        "Optimizer": "lr",
        "Constant": "lr",
        "LinearWarmup": "start end steps",
        "Quadratic": "curvatures",
        "CubicTaylor": "curvature progressive_sharpening stabilization",
        "Product": "",
        "DoubleWell": "",
        "Minimalist": "",
        "Chain": "depth",
        "Coupled": "zeta eps",
        "SymbolicLoss": "expression variables parameters limit",
        "EmpiricalRisk": "expression weights data parameters",
        "DiagonalNetwork": "inputs targets depth",
        "MLP": "widths inputs targets activation criterion weight_decay",
        "check_loss": "loss at",
        "flip_start": "loss weights size",
        "simulate": "loss optimizer start steps previous every keep escape noise seed",
        "averaged_flow": "loss optimizer start steps directions substeps every keep escape",
        "edge_flow": "loss optimizer start steps previous order substeps every keep escape",
        "rod_flow": "loss optimizer start steps previous substeps every keep escape",
        "constrained_trajectory": "loss optimizer start steps keep",
        "predicted_dynamics": "loss optimizer start steps previous form beside",
        "catapults": "sharpness threshold loss step",
        "analyze": "run lr momentum lookahead columns keep updates_per_epoch optimizer member",
        "verify": "names progress",
    }
    for name, expected in signatures.items():
        assert " ".join(inspect.signature(attrgetter(name)(ss)).parameters) == expected, name
    sweep = [*inspect.signature(ss.sweep).parameters]
    promised = "loss optimizer axes start steps previous measure escape noise seed repeats threads progress"
    assert " ".join(name for name in sweep if name in promised.split(" ")) == promised
    losses = "value gradient hessian hessian_vector third fourth sharpness sharpness_gradient initial_weights minimum"
    for kind in (ss.SymbolicLoss, ss.EmpiricalRisk, ss.MLP, ss.DiagonalNetwork):
        for method in (*losses.split(), "replace"):
            assert callable(getattr(kind, method)), (kind, method)
    optimizer = "update max_stable_sharpness thresholds rates matched at_excess amplification inertia"
    optimizer += " transfer_function transfer_coefficients"
    for method in optimizer.split():
        assert callable(getattr(ss.HeavyBall, method)), method
    theory = (
        "max_stable_sharpness spectral_radius growth_factor stabilization_weight inertia_number overshoot"
    )
    for name in (*theory.split(), "final_sharpness", "cycle_period", "cycle_growth"):
        assert callable(getattr(ss.theory, name)), name
    for name in ("digits", "mnist", "sparse_regression"):
        assert callable(getattr(ss.datasets, name)), name
    for name in ss.experiments.PRESETS:
        assert " ".join(inspect.signature(getattr(ss.experiments, name)).parameters) == "quick threads", name
    assert " ".join(inspect.signature(ss.experiments.compare).parameters) == "task setting optimizers threads"
    assert (
        " ".join(inspect.signature(ss.experiments.survey).parameters)
        == "task setting axes optimizers threads"
    )


def test_lists_of_names_agree():
    """Protects the three places that name what is public: __all__, the homes, and the stub for type checkers."""
    assert set(ss.__all__) == {*ss._HOMES, *ss._ROOMS, "__version__"}
    assert dir(ss) == ss.__all__
    stub = {}
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.name == alias.asname
                stub[alias.name] = node.module
    assert stub == {name: f"selfstab.{home}" for name, home in ss._HOMES.items()} | dict.fromkeys(
        ss._ROOMS, "selfstab"
    )
    for name, home in ss._HOMES.items():
        assert getattr(ss, name) is getattr(importlib.import_module(f"selfstab.{home}"), name)
        assert getattr(ss, name).__module__.startswith("selfstab.")
    with pytest.raises(
        AttributeError, match=r"has no attribute 'nope'; dir\(selfstab\) lists the public names"
    ):
        _ = ss.nope


def test_the_help_has_an_index():
    """Protects ``help(selfstab)``: it names all that is public, each once, and nothing else."""
    topics = re.findall(r"^(?:- [^:]*:|  )(.*)$", ss.__doc__, re.MULTILINE)
    named = re.findall(r"\w+", re.sub(r"\(.*?\)", "", " ".join(topics)))
    assert sorted(named) == sorted([*ss._HOMES, *ss._ROOMS])


def test_importing_the_package_loads_numpy_at_most():
    """Protects start-up: everything else is loaded on first use."""
    code = """if True:
        import sys
        import selfstab
        print(*{name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))
    """
    loaded = {name for name in in_a_process(code) if not name.startswith("_")}
    # What the interpreter itself loads at start-up, a plug-in of site-packages for instance, is not ours.
    before = set(in_a_process("import sys; print(*{name.split('.')[0] for name in sys.modules})"))
    assert loaded - before <= {"selfstab", "numpy", "mkl", "cython_runtime"}


def test_an_optimizer_needs_no_compiler():
    """Protects the same for the light objects: settings and closed forms load neither SymPy, Numba nor xarray."""
    code = """if True:
        import sys
        import selfstab as ss
        ss.HeavyBall(ss.LinearWarmup(0.0, 0.1, 5), 0.9).max_stable_sharpness(3)
        ss.theory.overshoot(0.3)
        print(*{"sympy", "numba", "xarray", "matplotlib", "sklearn"} & set(sys.modules))
    """
    assert in_a_process(code) == []


def test_every_citation_is_in_the_bibliography():
    """Protects sources: a key in a docstring is an entry of references.bib."""
    bibliography = Path(__file__).parent.parent / "docs" / "references.bib"
    known = set(re.findall(r"^@\w+\{(\w+),", bibliography.read_text(), re.MULTILINE))
    cited = {
        (key, path.name)
        for path in PACKAGE.rglob("*.py")
        for key in re.findall(r"\[([A-Z]\w+)\]_", path.read_text())
    }
    assert cited
    assert {key for key, _ in cited} <= known


def test_public_docstrings_are_complete():
    """Protects the manual: a first line, and an example or the words of a class, for each public name."""
    for name in ss._HOMES:
        text = inspect.getdoc(getattr(ss, name))
        assert text
        assert text.split("\n")[0].endswith((".", ":"))
        assert ">>>" in text, name
