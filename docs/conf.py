"""Sphinx: how the documentation is built, by ``sphinx-build -nW --keep-going docs build/site``."""

import os
import sys
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

import numpydoc.xref  # noqa: E402
import sphinx.ext.autosummary  # noqa: E402

import leanrank  # noqa: E402  the checkout's, whatever is installed

project = "leanrank"
author = "The leanrank developers"
copyright = author  # noqa: A001  Sphinx's name for it
version = release = leanrank.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
templates_path = ["_templates"]
exclude_patterns = ["gallery/README.rst"]
root_doc = "index"
language = "en"
nitpicky = True
# What other projects document: there is no inventory of it, so that a build needs no network.
nitpick_ignore_regex = [(r".*", r"(numpy|sklearn|collections)[:.].*")]
numpydoc.xref.DEFAULT_LINKS.clear()
smartquotes = False

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # numpydoc's sections say the types in words
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
autosummary_generate = True
# "Theorem 3, eq. (10)" is no end of a sentence.
sphinx.ext.autosummary.WELL_KNOWN_ABBREVIATIONS += (" eq.", " eqs.")
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"


def _homes() -> dict[str, str]:
    """Where each public class is documented, for links from the types of parameters."""
    found = {}
    # Losses and penalties have pages of their own, and estimators are names of leanrank first.
    for home in (
        "estimators",
        "policy",
        "",
        "losses",
        "operators",
        "penalties",
        "search",
        "solvers",
    ):
        name = f"leanrank.{home}".rstrip(".")
        module = import_module(name)
        classes = [each for each in module.__all__ if isinstance(getattr(module, each), type)]
        found |= {each: f"{name}.{each}" for each in classes}
    return found


numpydoc_xref_aliases = _homes()

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tutorials", "../examples/gallery"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 3600,
    "plot_gallery": True,
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "leanrank"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_depth": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "start": []}
