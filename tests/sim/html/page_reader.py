"""Reads a page back without a browser: its headings, paragraphs, tables and lines."""

from html.parser import HTMLParser

__all__ = ["PageReader", "read_page"]

VOID = {"meta", "br"}


class PageReader(HTMLParser):
    """What a page has in it, found by its tags; every tag must be closed in its turn."""

    def __init__(self):
        super().__init__()
        self.tables, self.texts, self.attributes = {}, [], []
        self._open, self._rows, self._caption = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self._open.append((tag, len(self.texts)))
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        else:
            self.texts.append([tag, ""])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag
        if tag == "table":
            names, *rows = self._rows
            self.tables.setdefault(self._caption, []).append(
                [dict(zip(names, row, strict=True)) for row in rows])

    def handle_data(self, text):
        inside, number = self._open[-1] if self._open else (None, 0)
        if inside in ("td", "th"):
            self._rows[-1][-1] += text
        elif inside == "caption":
            self._caption += text
        elif inside is not None:
            self.texts[number][1] += text

    def all(self, tag):
        """Return the texts of all elements of this name."""
        return [text for name, text in self.texts if name == tag]


def read_page(text):
    """Return a page read back; check that it needs no other file and says its language."""
    reader = PageReader()
    reader.feed(text)
    reader.close()
    assert not reader._open
    tags = {tag for tag, _ in reader.attributes}
    assert not tags & {"script", "link", "img", "iframe"}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in reader.attributes)
    assert "url(" not in text
    assert dict(reader.attributes)["html"] == {"lang": "en"}
    assert len(reader.all("h1")) == 1
    return reader
