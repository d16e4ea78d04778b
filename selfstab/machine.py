"""What the machine gives this process: CPUs and free memory."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

# Where a process sees its control groups, and how either version of them says its limit, use and cached files.
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")
_V2: Final = ("", "memory.max", "memory.current", "\ninactive_file")
_V1: Final = ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "\ntotal_inactive_file")

SMALL: Final = 2**24
"""Bytes that are taken without a look at what is free, which takes a millisecond."""


class MemoryNeededError(ValueError, MemoryError):
    """Arguments ask for arrays that do not fit in memory; nothing has run."""


def check_memory(arrays: str, size: int, remedy: str) -> None:
    """Raise MemoryNeededError if arrays take more than half of the free memory.

    Parameters
    ----------
    arrays
        What they are, in the plural, with the arguments that make them large.
    size
        Their bytes.
    remedy
        What to change.
    """
    if size > SMALL and size > (free := free_memory()) // 2:
        gigabytes = min(size, 2**1000) / 1e9  # what is beyond float64 is large enough
        raise MemoryNeededError(
            f"{arrays} take {gigabytes:.3g} GB, more than half of the {free / 1e9:.3g} GB of free memory: {remedy}"
        )


def free_memory() -> int:
    """Return the bytes this process can still take: what the system has available, or what its control groups allow."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # no control groups
        return free
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = _V1 if "memory" in controllers.split(",") else _V2 if controllers == "" else None
        if names is None:
            continue
        folder, limit, used, cached = names
        own = PurePosixPath(path)
        # Groups above it limit it, too. In a container its own may be hidden, and the root is what it may use.
        for group in (own, *own.parents):
            at = _GROUPS / folder / group.relative_to("/")
            try:
                left = int((at / limit).read_text()) - int((at / used).read_text())
                # Files that were read or written count as used, but give way.
                left += int((at / "memory.stat").read_text().split(f"{cached} ")[1].split()[0])
            except (OSError, ValueError, IndexError):  # no such group, or no limit ("max")
                continue
            free = min(free, left)
    return max(free, 0)


def available_threads() -> int:
    """Return the number of CPUs this process may use: by its affinity, and by the quota of its container."""
    from loky import cpu_count

    return int(cpu_count())
