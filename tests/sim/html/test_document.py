"""Pages put together part by part: what is given is text, and all of it can be reached."""

from hypothesis import given
from hypothesis import strategies as st

from pagewalk.sim.html.document import Document, Words

from .page_reader import read_page

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1)


@given(TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_whatever_is_given_is_shown_as_text(title, name, rows):
    page = Document(title).paragraph(name).table(name, ("one", "other"), rows)
    read = read_page(page.text())
    assert read.all("title") == read.all("h1") == [title]
    assert read.all("p") == [name]
    assert read.tables[name] == [[{"one": one, "other": other} for one, other in rows]]


def test_tables_have_headings_for_rows_and_columns():
    text = Document("a").table("b", ("c", "d"), [(1, Words("e f"))]).text()
    assert '<th scope="col">c</th><th scope="col">d</th>' in text
    assert '<th scope="row">1</th><td class="words">e f</td>' in text


def test_what_may_be_wide_can_be_scrolled_by_keyboard_and_has_a_name():
    page = Document("a").table("t", ("c",), [(1,)]).lines("l", ["x"]).picture("p", 2, 3, "<g></g>")
    wide = [attributes for tag, attributes in read_page(page.text()).attributes if tag == "div"]
    assert [(one["tabindex"], one["aria-label"]) for one in wide] == [
        ("0", "t"), ("0", "l"), ("0", "p")]


def test_lines_stand_as_they_are_and_some_are_marked():
    text = Document("a").lines("b", ["  <one>", "two  "], [1]).text()
    assert "<pre>  &lt;one&gt;\n<mark>two  </mark></pre>" in text


def test_what_is_folded_is_in_the_page():
    text = Document("a").folded("b", Document("c").paragraph("d")).note("e").text()
    assert "<details><summary>b</summary>\n<p>d</p>\n</details>" in text
    assert "<footer>\n<p>e</p>\n</footer>" in text
