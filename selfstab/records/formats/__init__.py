"""Formats of recorded runs: one file a format, each registers itself.

A format says which files, folders or objects are its own, reads them into a :class:`Table`, and may write datasets.
:func:`selfstab.analyze`, the recorder, the command line and reports ask here. So a new format takes no more than a new
file in this folder, or a class of yours with :func:`register`.
"""

from importlib import import_module
from pkgutil import iter_modules

from selfstab.records.formats.base import Column, Format, Match, ReadError, Table
from selfstab.records.formats.registry import (
    format_of,
    format_to_write,
    listed,
    members,
    read,
    readable,
    register,
    registered,
    suffixes,
    unregister,
)

__all__ = [
    "Column",
    "Format",
    "Match",
    "ReadError",
    "Table",
    "format_of",
    "format_to_write",
    "listed",
    "members",
    "read",
    "readable",
    "register",
    "registered",
    "suffixes",
    "unregister",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
