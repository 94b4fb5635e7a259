"""Bugs to put into the hardware on purpose, so that an attack can be seen to find them.

Each is a change of a few words in a method of a component. It fails if those words are not there.
"""

import inspect
import textwrap
from contextlib import ExitStack, contextmanager
from functools import cache
from unittest.mock import patch

from pagewalk.hdl.invalidate import Invalidator
from pagewalk.hdl.page_crossing import PageCrossing
from pagewalk.hdl.walker import Walker
from pagewalk.sim.engine import compiled

__all__ = ["PLANTS", "planted"]

PLANTS = {
    "invlpg-drops-one-table": [
        (Invalidator, "_operation", {
            "drop.globals.eq(1), drop.pcid.eq(self.control.pcid)]":
            "drop.globals.eq(1), drop.pcid.eq(self.control.pcid), drop.tables_by_address.eq(1)]"})],
    "fault-drops-when-idle": [
        (Invalidator, "elaborate", {
            "self.operation.valid | pending | self.busy": "self.operation.valid | self.busy",
            "(pending & ~self.busy)": "(pending & self.idle & ~self.busy)",
        }),
        (Invalidator, "_page_fault", {"1 << number": "self.idle << number"})],
    "late-response-is-used": [
        (Walker, "elaborate", {"rsp.valid & (rsp.payload.tag == tag)": "rsp.valid"})],
    "first-page-may-fault": [(PageCrossing, "_go_on", {"m.If(fault)": "m.If(fault & 0)"})],
}
"""By name: which method of which component, the words in it, and those in their place.

``invlpg-drops-one-table``: INVLPG drops from the walk cache only the tables on the way to its
address, and not all of its PCID. ``fault-drops-when-idle``: what a page fault ends is dropped only
when no request waits, and requests that are taken before still use it.
``late-response-is-used``: a response that memory gives after a reset answers the walk after it.
``first-page-may-fault``: an access that crosses a page is answered as its second page is.
"""


@contextmanager
def planted(name):
    """Make hardware with the bug ``name`` inside the context; None is for no bug."""
    with ExitStack() as stack:
        # The text of a design is kept, which would be that without the bug.
        stack.enter_context(patch.object(
            compiled, "design_text", cache(compiled.design_text.__wrapped__)))
        for component, method, changes in PLANTS[name] if name else []:
            changed = _changed(getattr(component, method), changes)
            stack.enter_context(patch.object(component, method, changed))
        yield


def _changed(method, changes):
    """Return a method with other words in its text: ``changes`` maps those to be replaced."""
    text = textwrap.dedent(inspect.getsource(method))
    for words, others in changes.items():
        assert text.count(words) == 1, f"{method.__qualname__} has not once: {words}"
        text = text.replace(words, others)
    names = {}
    exec(compile(text, method.__code__.co_filename, "exec"), method.__globals__, names)
    return names[method.__name__]
