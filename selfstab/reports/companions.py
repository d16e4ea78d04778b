"""The packages that come with this one: figures, benchmarks, derivations."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import selfstab


def companion(name: str) -> ModuleType:
    """Return a module of the packages that come with this one: figures, benchmarks, derivations.

    An installed wheel carries them as ``selfstab._figures`` and so on; in a clone they stand beside this package, and
    are imported under the same name.

    Parameters
    ----------
    name
        A dotted name such as ``figures`` or ``figures.modes``.

    Returns
    -------
    module
        The package, or its module.

    Raises
    ------
    ImportError
        If the package is in neither place, or has no such module.

    Examples
    --------
    >>> companion("figures").NAMES[0]
    'modes'
    """
    package, _, rest = name.partition(".")
    alias = f"selfstab._{package}"
    if alias not in sys.modules and importlib.util.find_spec(alias) is None:
        beside = Path(selfstab.__file__).parents[1] / package / "__init__.py"
        if not beside.exists():
            raise ImportError(
                f"{package} must be installed with selfstab or be beside it, found neither {alias} nor {beside}"
            )
        spec = importlib.util.spec_from_file_location(
            alias, beside, submodule_search_locations=[str(beside.parent)]
        )
        assert spec is not None and spec.loader is not None  # noqa: PT018 (a file's spec always has both)
        module = importlib.util.module_from_spec(spec)
        sys.modules[alias] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{alias}.{rest}" if rest else alias)
