"""An HTML document that is put together part by part; whatever is given is text, never markup."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Self

from .page_style import STYLE

__all__ = ["Document", "Words"]


class Words(str):
    """A cell of a table that is a sentence, not a number or a name."""


class Document:
    """One page, with headings, paragraphs, tables and blocks of lines in the order of the calls.

    It needs no other file and no script. What may be too wide for a screen can be scrolled with the
    keyboard; every table has a caption, every row and column of it a heading.

    Parameters
    ----------
    title : str
        The title, which is the heading of the page as well.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []
        self._notes: list[str] = []

    def heading(self, text: str, level: int = 2) -> Self:
        """Add a heading; level 1 is the title's."""
        return self._add(f"<h{level}>{escape(text)}</h{level}>")

    def paragraph(self, text: str, kind: str = "") -> Self:
        """Add a paragraph; a ``kind`` is a class of the style sheet."""
        attribute = f' class="{kind}"' if kind else ""
        return self._add(f"<p{attribute}>{escape(text)}</p>")

    def table(self, caption: str, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Self:
        """Add a table; the first cell of each row is the row's heading."""
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
        body = "\n".join(_row(row) for row in rows)
        return self._wide(caption, f"<table><caption>{escape(caption)}</caption>\n"
                                   f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
                                   "</table>")

    def lines(self, name: str, lines: Iterable[str], marked: Iterable[int] = ()) -> Self:
        """Add lines of text as they are; those with a number in ``marked``, from 0, stand out."""
        numbers = {*marked}
        shown = (f"<mark>{escape(line)}</mark>" if number in numbers else escape(line)
                 for number, line in enumerate(lines))
        return self._wide(name, "<pre>" + "\n".join(shown) + "</pre>")

    def folded(self, summary: str, inner: "Document") -> Self:
        """Add the parts of another document, which show when ``summary`` is opened."""
        return self._add(f"<details><summary>{escape(summary)}</summary>", *inner._parts,
                         "</details>")

    def picture(self, name: str, width: int, height: int, drawing: str) -> Self:
        """Add SVG elements, drawn for so many pixels; ``name`` says in words what is to be seen."""
        return self._wide(name, f'<svg role="img" aria-label="{escape(name)}" width="{width}" '
                                f'height="{height}" viewBox="0 0 {width} {height}">{drawing}</svg>')

    def note(self, text: str) -> Self:
        """Add a line below everything."""
        self._notes.append(f"<p>{escape(text)}</p>")
        return self

    def text(self) -> str:
        """Return the page."""
        title = escape(self._title)
        return "\n".join([
            "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>", f"<style>\n{STYLE}</style>", "</head>", "<body>", "<main>",
            f"<h1>{title}</h1>", *self._parts, "</main>", "<footer>", *self._notes, "</footer>",
            "</body>", "</html>", ""])

    def _wide(self, name: str, inner: str) -> Self:
        return self._add(f'<div class="wide" role="group" tabindex="0" '
                         f'aria-label="{escape(name)}">{inner}</div>')

    def _add(self, *parts: str) -> Self:
        self._parts += parts
        return self


def _row(cells: Sequence[object]) -> str:
    first, *others = cells
    return (f'<tr><th scope="row">{escape(str(first))}</th>'
            + "".join(f"<td{_kind(cell)}>{escape(str(cell))}</td>" for cell in others) + "</tr>")


def _kind(cell: object) -> str:
    return ' class="words"' if isinstance(cell, Words) else ""
