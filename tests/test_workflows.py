"""What GitHub and pre-commit run: every command is one that the project has, on every Python that it declares."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def document(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path):
    return [step for job in document(path)["jobs"].values() for step in job["steps"]]


def commands(path):
    return "\n".join(step["run"] for step in steps(path) if "run" in step)


def targets():
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_there_are_workflows():
    assert [path.stem for path in WORKFLOWS] == ["release", "tests"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_exists(path):
    """Protects against a target or a script that was renamed: nothing here runs the workflows."""
    lines = commands(path)
    named = {word for line in re.findall(r"^make (.+)$", lines, re.MULTILINE) for word in line.split()}
    scripts = set(re.findall(r"\.ci/[\w.]+", lines))
    assert named
    assert named <= targets()
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


def test_the_matrix_has_the_pythons_that_are_declared():
    """Protects a user of the newest or the oldest Python that the metadata name."""
    declared = [
        line.rpartition(" :: ")[2]
        for line in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    ]
    jobs = document(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"
    for name in ("macos", "windows"):
        assert jobs[name]["strategy"]["matrix"]["python"] == [declared[0], declared[-1]]


def test_the_linux_job_is_the_projects_own_check():
    """Protects the rule that a pull request must pass what a contributor can run."""
    jobs = document(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    assert [step["run"] for step in jobs["linux"]["steps"] if "run" in step] == [".ci/run"]


def test_nothing_is_published_without_the_checks():
    """Protects the package index: the job that publishes needs the one that checks, and builds nothing itself."""
    jobs = document(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert jobs["publish"]["needs"] == "build"
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]
    runs = [step.get("run", "") for step in jobs["build"]["steps"]]
    order = [
        next(k for k, run in enumerate(runs) if word in run)
        for word in ("release.py", "make lint", "-m build", ".ci/wheel")
    ]
    assert order == sorted(order)


def test_a_commit_is_judged_by_the_programs_of_the_environment():
    """Protects against two verdicts on one commit, of two versions of a tool."""
    hooks = [hook for repo in document(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    programs = {
        "ruff": "ruff",
        "mypy": "mypy",
        "lint-imports": "import-linter",
        "check-jsonschema": "check-jsonschema",
    }
    extra = {re.split(r"[><=]", line)[0] for line in PROJECT["optional-dependencies"]["lint"]}
    called = set()
    for hook in hooks:
        assert hook["language"] == "system"
        called.add(hook["entry"].split()[0].removeprefix(".venv/bin/"))
    assert called == set(programs)
    assert {programs[name] for name in called} <= extra
