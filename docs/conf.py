"""Sphinx's settings: ``make docs`` builds docs/_build/html; nothing is fetched, neither then nor by the reader."""

import logging
import sys
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

HERE = Path(__file__).parent
sys.path[:0] = [
    str(HERE / "_extensions"),
    str(HERE / "story"),
    str(HERE.parent),
]  # directives; the story; derivations, figures

import api  # noqa: E402 (found by the line above)

logging.getLogger("fontTools").setLevel(logging.WARNING)  # each picture's font would print what it is cut to

project = "selfstab"
author = "The selfstab authors"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
    "sphinx_click",
    "sphinx_copybutton",
    "mathml",
    "parameter_types",
    "manual",
    "pictures",
    "results",
    "api",
    "commands",
    "story",
]
exclude_patterns = ["_build", "gallery", "story", "sg_execution_times.rst", "**/sg_execution_times.rst"]
templates_path = ["_templates"]
nitpicky = True
# Types of other packages have their pages elsewhere, and a build reaches no network.
nitpick_ignore_regex = [("py:.*", r"(?!selfstab\.).*")]
nitpick_ignore = [("py:class", "selfstab.losses.base.loss.Loss")]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 2
html_math_renderer = "mathml"
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
bibtex_reference_style = "author_year"
suppress_warnings = ["config.cache"]  # the gallery's scraper is a function
# What is copied can be pasted into Python or a shell: prompts and what is printed stay behind.
copybutton_prompt_text = r">>> |\.\.\. |\.\.\.$|\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_exclude = ".linenos"
smartquotes_action = "qe"  # no dashes: options begin with two hyphens

autosummary_generate = True
autodoc_typehints = "none"  # parameter_types puts them beside the names of parameters
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": "/plot_",
    "image_scrapers": ("matplotlib", api.scrape),
    "image_srcset": [],
    "within_subsection_order": ExplicitOrder([f"plot_{name}.py" for name in (
        "catapult", "film", "law", "phases", "refined", "orbits", "hysteresis", "network", "predicted", "averages",
        "comparison", "modes")] + ["*"]),
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
}  # fmt: skip

html_theme = "furo"
html_title = "selfstab"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_copyright = False
