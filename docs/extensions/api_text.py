"""What autodoc says of the API, made shorter: signatures, values, bases, and members."""

import enum
import inspect
import re

from amaranth.hdl import Elaboratable
from docutils import nodes
from numpy.typing import ArrayLike
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.typing import stringify_annotation

logger = logging.getLogger(__name__)

PLAIN = ("attribute", "data", "property")
LONGEST_VALUE, LARGE = 100, 1024
ARRAY_LIKE = [stringify_annotation(ArrayLike, mode) for mode in ("smart", "fully-qualified")]
MISREAD = re.compile(r"\*\*(Raises?|Returns?) ")
FACTORY = re.compile(r"= <[^>]*>")
ARRAY = re.compile(
    r"numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[([^\[\]]*)\]\]")


def skip(app, what, name, item, skipped, options):
    """Leave out what says nothing: ``elaborate``, and fields that only repeat the signature.

    For a field of a dataclass autodoc has a marker in place of a value; that of a named tuple has
    a docstring made up by Python.
    """
    empty = (name == "elaborate" or repr(item) in ("SLOTS_ATTR", "INSTANCE_ATTR")
             or (inspect.getdoc(item) or "").startswith("Alias for field"))
    return True if empty else None


def signature(app, what, name, item, options, arguments, returned):
    """Give a class the signature that its user sees, and arrays their short name."""
    if what == "class" and issubclass(item, Elaboratable):  # Amaranth's __new__ hides it
        parameters = list(inspect.signature(item.__init__).parameters.values())[1:]
        arguments = str(inspect.Signature(parameters))
    elif what == "class" and (issubclass(item, enum.Enum) or getattr(item, "_is_protocol", False)):
        arguments = ""  # nobody calls it
    return tuple(text and short(text) for text in (arguments, returned))


def short(text):
    """Return a signature with numpy's aliases in place of what they stand for.

    A default such as ``<factory>`` is no Python, and would keep Sphinx from reading the rest.
    """
    for spelled in ARRAY_LIKE:
        text = text.replace(spelled, "numpy.typing.ArrayLike")
    return ARRAY.sub(r"numpy.typing.NDArray[\1]", FACTORY.sub("= ...", text))


class PlainDocstrings:
    """Keeps Napoleon from the docstrings of data, where it takes ``words: more`` for a type."""

    def __init__(self):
        self.lines = []

    def hide(self, app, what, name, item, options, lines):
        """Take the docstring away before Napoleon comes."""
        if what in PLAIN:
            self.lines = lines[:]
            lines.clear()

    def show(self, app, what, name, item, options, lines):
        """Put it back; warn of text behind the sections of another, which Napoleon misreads."""
        if what in PLAIN:
            lines[:] = self.lines
        for line in lines:
            if MISREAD.search(line):
                logger.warning("%s: a paragraph is taken for a parameter: %s", name, line)


def shorten(app, domain, kind, content):
    """Leave out values that are too long to read, and the base ``object``; large ones in hex."""
    for head in content.parent.findall(addnodes.desc_signature):
        for note in [*head.findall(addnodes.desc_annotation)]:
            text = note.astext().removeprefix(" = ")
            if text == note.astext():
                continue
            if len(text) > LONGEST_VALUE:
                head.remove(note)
            elif text.isdecimal() and int(text) >= LARGE:
                note[-1] = nodes.Text(f"{int(text):#x}")
    if content.children and content.children[0].astext() == "Bases: object":
        content.remove(content.children[0])


def setup(app):
    """Register with Sphinx; Napoleon has the priority 500."""
    plain = PlainDocstrings()
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", plain.hide, priority=400)
    app.connect("autodoc-process-docstring", plain.show, priority=600)
    app.connect("object-description-transform", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
