"""Sphinx configuration. Nothing here needs the network."""

import sys
from pathlib import Path
from types import ModuleType

import gradchain

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import catalogue  # noqa: E402 - it lies beside this file

project = "gradchain"
author = "The gradchain authors"
copyright = "The gradchain authors"
version = release = gradchain.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "generated",
    "gallery/**/*.ipynb",
    "gallery/**/*.py",
    "gallery/**/*.json",
]

html_theme = "furo"
html_title = f"gradchain {release}"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "inherited-members": "int",  # but those of numbers, which a Status is
    "special-members": "__call__",
    "exclude-members": "admit, of",
}
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Every example runs when the site is built; `sphinx-build -D plot_gallery=0 ...` skips that.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"(__init__|conftest)\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
}


PUBLIC_ROOMS = [name for name in dir(gradchain) if isinstance(getattr(gradchain, name), ModuleType)]


def skip(app, what, name, thing, skipped, options):
    """Of a module, show what is public: exported by `gradchain`, its losses or its curvature, or a
    projection.
    """
    rooms = (gradchain, *(getattr(gradchain, room) for room in PUBLIC_ROOMS))
    is_public = any(hasattr(room, name) for room in rooms)
    of_a_tuple = (
        thing is tuple.count or thing is tuple.index or type(thing).__name__ == "_tuplegetter"
    )  # its fields
    return skipped or (what == "module" and not is_public) or of_a_tuple


def setup(app):
    app.connect("autodoc-skip-member", skip)
    app.connect("builder-inited", lambda app: catalogue.write(HERE / "generated"))
