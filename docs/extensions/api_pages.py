"""Pages of the API: one for each room (a folder of the packages) and one for each module.

They are written to ``docs/reference/api`` before Sphinx looks for pages, from the files that there
are, so that no module can be forgotten. Only pages that change are written, and those of modules
that are gone are removed.
"""

import ast
import sys
from pathlib import Path

from sphinx.addnodes import pending_xref
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hdl", "model", "sim")

MODULE = """\
{title}
{rule}

.. automodule:: {name}
"""

ROOM = """\
{title}
{rule}

{summary}

.. toctree::
   :hidden:

{entries}

.. list-table::
   :widths: 30 70
   :class: modules

{rows}
"""


def module_pages():
    """Return the text of every page by its name: that of the module, as it is installed."""
    pages = {}
    for package in PACKAGES:
        for folder in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            pages[dotted(folder)] = room_page(folder)
            for path in sorted(folder.glob("[!_]*.py")):
                name = dotted(path.with_suffix(""))
                title = name.removeprefix("pagewalk.")
                pages[name] = MODULE.format(title=title, rule="=" * len(title), name=name)
    return pages


def dotted(path):
    """Return the name under which a file or folder is imported."""
    return ".".join(("pagewalk", *path.relative_to(ROOT).parts))


def room_page(folder):
    """Return the page of a folder: its docstring, then its rooms and modules with theirs."""
    title = dotted(folder).removeprefix("pagewalk.")
    inside = [path.parent for path in sorted(folder.glob("*/__init__.py"))]
    inside += sorted(folder.glob("[!_]*.py"))
    rows, entries = [], []
    for path in inside:
        name = dotted(path.with_suffix(""))
        source = path / "__init__.py" if path.is_dir() else path
        label = f"{path.stem}/" if path.is_dir() else path.stem
        entries.append(f"   {label} <{name}>")
        rows.append(f"   * - :doc:`{label} <{name}>`\n     - {first_line(source)}")
    return ROOM.format(title=title, rule="=" * len(title), entries="\n".join(entries),
                       rows="\n".join(rows), summary=first_line(folder / "__init__.py"))


def first_line(path):
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return text.splitlines()[0] if text else ""


def write_pages(app):
    """Bring ``docs/reference/api`` up to date."""
    folder = Path(app.srcdir) / "reference" / "api"
    folder.mkdir(exist_ok=True)
    pages = module_pages()
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def resolve(app, env, node: pending_xref, contnode):
    """Lead a name to what it is in the module whose docstring or signature it stands in.

    A name that the module does not know leads to the one class that is called so. What a module
    keeps to itself, as ``__all__`` says, has no page; its name is no link.
    """
    if node.get("refdomain") != "py":
        return None
    module, _, name = node["reftarget"].rpartition(".")
    found = getattr(sys.modules.get(module or node.get("py:module")), name, None)
    if hasattr(found, "__qualname__"):
        full = f"{found.__module__}.{found.__qualname__}"
    else:
        full = None if module else class_names(env).get(name)
    entry = env.domains.python_domain.objects.get(full)
    if entry is None:
        return contnode if found is not None else None
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, full)


def class_names(env):
    """Return the full name of each class that is described once, by its own name."""
    names = {}
    for full, entry in env.domains.python_domain.objects.items():
        if entry.objtype in ("class", "exception"):
            names.setdefault(full.rpartition(".")[2], []).append(full)
    return {name: fulls[0] for name, fulls in names.items() if len(fulls) == 1}


def setup(app):
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
