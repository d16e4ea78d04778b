"""The command line, one file a group of commands.

``main`` puts the groups together, ``options`` holds the options that they share, ``errors`` turns what is raised
into one line. A new command goes into the file of its group, or into a new file for a new group, and into the list
in ``main``.
"""

from typing import Any

from selfstab.former_names import member_of


def __getattr__(name: str) -> Any:
    # What version 0.1 had here, when this was a module.
    return member_of("cli", name)
