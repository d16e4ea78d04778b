"""The HTML of reports: templates beside this file, filled with text and numbers."""

from __future__ import annotations

from typing import Any


def filled(template: str, /, **values: Any) -> str:
    """Return a page.

    Parameters
    ----------
    template
        Its file's name.
    **values
        What it shows; text is escaped.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    jinja2.TemplateNotFound, jinja2.UndefinedError
        If there is no such template, or a value that it shows is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("selfstab.reports.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
