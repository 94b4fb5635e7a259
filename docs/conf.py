"""The documentation as a site: ``make docs`` builds it, without a network, into ``build/docs``."""

import re
import sys
import tomllib
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "extensions"))

project = "pagewalk"
author = "pagewalk contributors"
project_copyright = author
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_parser",
    # Ours, from docs/extensions.
    "api_pages",
    "api_text",
    "command_line",
    "port_tables",
    "timing_diagrams",
]

# The API.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_preserve_defaults = True  # `policy="plru"` as it is written, numbers in hexadecimal too
napoleon_google_docstring = False
napoleon_custom_sections = [("Members", "params_style")]
napoleon_use_param = False  # types are words, as in "tuple of str", and no links
napoleon_use_rtype = False
napoleon_use_ivar = True  # a list; autodoc describes each attribute by itself

# Every reference must lead somewhere, but for those out of the project: no inventory of another
# project is fetched, so that the site builds without a network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!pagewalk\.).*")]

suppress_warnings = [
    "ref.python",  # an annotation `type[...]` is the builtin, whatever else is called `type`
]

myst_heading_anchors = 3  # links of the Markdown pages lead to headings

doctest_global_setup = "import numpy as np"

highlight_language = "none"  # code blocks say what they are

html_theme = "sphinx_rtd_theme"
html_theme_options = {"navigation_depth": 4}
html_static_path = ["_static"]
html_css_files = ["pagewalk.css"]
html_show_sphinx = False
html_copy_source = False
html_title = f"pagewalk {release}"


ROOT_PAGES = {"readme": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}


def put_root_pages(app, docname, source):
    """Put a file of the root into its page, and lead links between all of them to pages."""
    if docname in ROOT_PAGES:
        path = ROOT / ROOT_PAGES[docname]
        app.env.note_dependency(str(path))
        source[0] = path.read_text(encoding="utf-8")
        source[0] = source[0].replace("](docs/", "](").replace("](examples)", "](howto/examples)")
    for page, name in ROOT_PAGES.items():
        source[0] = source[0].replace(f"]({name}", f"]({page}.md")
        source[0] = source[0].replace(f"](../{name}", f"]({page}.md")


def check_hosts(app, error):
    """Warn of scripts, styles and pictures from another host: readers may have no network."""
    if error is None and app.builder.format == "html":
        for path in sorted(Path(app.outdir).rglob("*.html")):
            for found in OUTSIDE.findall(path.read_text(encoding="utf-8")):
                logger.warning("%s loads something from another host: %s", path.name, found)


OUTSIDE = re.compile(r"<(?:script|link|img|iframe|object)[^>]*=[\"'](?:https?:)?//[^>]*>")


def setup(app):
    """Register with Sphinx."""
    app.connect("source-read", put_root_pages)
    app.connect("build-finished", check_hosts)
