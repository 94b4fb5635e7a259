"""Wide registers that are made of a signal for each field."""

from amaranth import Cat, Signal
from amaranth.lib import data

__all__ = ["separate_register"]


def separate_register(layout, name):
    """Return a register without reset of the structure ``layout``, as a view of its signals.

    Each field has a signal of its own, each field of a nested structure as well. CXXRTL puts a
    signal together whenever one of its bits changes, which takes time by the square of its width.
    """
    return data.View(layout, Cat(_signals(layout, name)))


def _signals(layout, name):
    """Return the signals of all fields in their order."""
    for key, field in layout:
        if isinstance(field.shape, data.StructLayout):
            yield from _signals(field.shape, f"{name}_{key}")
        else:
            yield Signal(field.shape, name=f"{name}_{key}", reset_less=True)
