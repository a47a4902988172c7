"""Sphinx configuration. Nothing here needs the network."""

import sys
from pathlib import Path

import jax
from sphinx.application import Sphinx

import gradchain

HERE = Path(__file__).parent
jax.config.update("jax_num_cpu_devices", 8)  # as the examples on several devices do
sys.path.insert(0, str(HERE))
import api_pages  # noqa: E402 - they lie beside this file
import catalogue  # noqa: E402
import communication_tables  # noqa: E402
import dialect_tables  # noqa: E402
import gallery_cells  # noqa: E402
import libraries  # noqa: E402
import matrix_pictures  # noqa: E402
import memory  # noqa: E402
import peer_results  # noqa: E402
import plan_tables  # noqa: E402
import precision_tables  # noqa: E402
import starting_rates  # noqa: E402

project = "gradchain"
author = "The gradchain authors"
copyright = "The gradchain authors"
version = release = gradchain.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "formulas",
    "tables",
]
exclude_patterns = [
    "_build",
    "generated",
    "gallery/**/*.ipynb",
    "gallery/**/*.py",
    "gallery/**/*.json",
]

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_title = f"gradchain {release}"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {
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

gallery_cells.write(HERE / "generated" / "examples")  # before Sphinx-Gallery reads them

# Every example runs when the site is built; `sphinx-build -D plot_gallery=0 ...` skips that.
sphinx_gallery_conf = {
    "examples_dirs": "generated/examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"(__init__|conftest)\.py$",
    "image_scrapers": ("gallery_cells.pictures",),
    "reset_modules": ("matplotlib", "fresh_jax.restore"),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
}


def write_pages(app: Sphinx) -> None:
    """Write the pages that follow from the code and from what was measured."""
    catalogue.write(HERE / "generated")
    libraries.write(HERE / "generated")
    memory.write(HERE / "generated")
    matrix_pictures.write(HERE / "generated" / "matrix_methods")
    communication_tables.write(HERE / "generated" / "communication")
    dialect_tables.write(HERE / "generated" / "dialect")
    peer_results.write(HERE / "generated" / "dialect")
    plan_tables.write(HERE / "generated" / "planning")
    precision_tables.write(HERE / "generated" / "precision")
    starting_rates.write(HERE / "generated")
    api_pages.write(HERE / "generated" / "api")


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_pages)
