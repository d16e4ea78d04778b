"""Sphinx's settings: ``make docs`` builds docs/_build/html; nothing is fetched, neither then nor by the reader."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]  # the directives; the derivations

project = "selfstab"
author = "The selfstab authors"
extensions = ["myst_parser", "sphinxcontrib.bibtex", "mathml", "manual"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 2
html_math_renderer = "mathml"
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
bibtex_reference_style = "author_year"

html_theme = "alabaster"
html_title = "selfstab"
html_theme_options = {
    "description": "Momentum at large learning rates",
    "fixed_sidebar": False,
    "page_width": "72rem",
    "body_max_width": "54rem",
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchfield.html"]}
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_copyright = False
