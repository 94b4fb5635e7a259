"""Tables and pictures that stay whole on a console that is too narrow for them."""

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.control import Control
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

__all__ = ["Uncut"]

WIDE = 10_000  # columns: what is shown has less


class Uncut:
    """What a console neither wraps nor cuts: on a narrow one it is the terminal that folds a line.

    Without it rich would leave out what is beyond the width, the ends of numbers among it. ``str``
    and ``plain`` are its text without colours.

    Parameters
    ----------
    content : ConsoleRenderable
        A text, a table or a group of them.
    """

    def __init__(self, content: ConsoleRenderable) -> None:
        self._content = content

    def __str__(self) -> str:
        console = Console(width=WIDE, color_system=None, force_terminal=False)
        return "".join(segment.text for segment in console.render(self._content)
                       if not segment.control)

    @property
    def plain(self) -> str:
        """The text without colours."""
        return str(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update(width=WIDE, no_wrap=True, overflow="ignore", height=None)
        for line in Segment.split_lines(console.render(self._content, wide)):
            fits = sum(segment.cell_length for segment in line) <= console.width
            yield from line if fits else map(_uncut, line)
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options.update(width=WIDE), self._content)


def _uncut(segment: Segment) -> Segment:
    """Return a segment that a console shows whole.

    A control code takes no columns, so that it is never beyond the width. Only codes that have a
    style are shown everywhere; this one changes nothing.
    """
    style = segment.style or Style(bold=False)
    return Segment(segment.text, style, Control.bell().segment.control)
