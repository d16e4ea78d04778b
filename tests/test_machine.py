"""What the machine gives this process: memory that control groups limit."""

from __future__ import annotations

import psutil
import pytest

from selfstab import machine

GROUPS = {
    "v2": ("0::/user.slice/job", "", "memory.max", "memory.current", "inactive_file"),
    "v1": ("9:name=systemd:/\n4:cpu,memory:/user.slice/job", "memory", "memory.limit_in_bytes",
           "memory.usage_in_bytes", "total_inactive_file"),
}  # fmt: skip


@pytest.mark.parametrize("version", GROUPS)
@pytest.mark.parametrize(
    ("limits", "free"),
    [
        ({}, 10_000),
        ({"user.slice/job": ("max", 5, 0)}, 10_000),
        ({"user.slice/job": (4000, 1000, 0)}, 3000),
        ({"user.slice/job": (4000, 3000, 2500)}, 3500),
        ({"user.slice/job": (4000, 1000, 0), "user.slice": (5000, 4500, 100)}, 600),
        ({"": (2000, 500, 0)}, 1500),
        ({"user.slice/job": (1000, 1200, 0)}, 0),
        ({"user.slice/job": (50_000, 0, 0)}, 10_000),
    ],
)
def test_free_memory_is_what_the_control_groups_leave(version, limits, free, monkeypatch, tmp_path):
    """Protects jobs and containers: the tightest group counts, its own or one above; cached files give way."""
    member, folder, limit, used, cached = GROUPS[version]
    (tmp_path / "member").write_text(f"1:pids:/\n{member}\n")
    for group, (most, now, cache) in limits.items():
        at = tmp_path / folder / group
        at.mkdir(parents=True, exist_ok=True)
        (at / limit).write_text(f"{most}\n")
        (at / used).write_text(f"{now}\n")
        (at / "memory.stat").write_text(f"anon 7\n{cached} {cache}\nactive_file 9\n")
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "member")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10_000}))
    assert machine.free_memory() == free


def test_free_memory_without_control_groups(monkeypatch, tmp_path):
    """Protects systems that have none."""
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "none")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 123}))
    assert machine.free_memory() == 123
