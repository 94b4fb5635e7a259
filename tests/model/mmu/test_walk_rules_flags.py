"""Rules 22 to 26 of the walk: accessed and dirty flags. [SDM 4.8]

Test names carry the number of a rule in the project's list of paging rules.
"""

import pytest

from pagewalk.model.x86 import AccessKind, Cr0, Efer, Entry

READ, WRITE, FETCH = AccessKind
ALLOWED = None
SOFTWARE = 1 << 9  # a bit of any entry that is ignored by the processor


def spoil(tables, cause):
    """Make user writes fail at the leaf, for a cause."""
    leaf = tables[tables.leaf]
    if cause == "not present":
        leaf &= ~Entry.P
    elif cause == "reserved":
        leaf |= 1 << (51 if tables.mode.name == "x86_64" else 21)
    elif cause == "read-only":
        leaf &= ~Entry.RW
    elif cause == "supervisor page":
        leaf &= ~Entry.US
    tables[tables.leaf] = leaf


def causes(*names):
    return pytest.mark.parametrize("cause", names)


def shapes(*names):
    return pytest.mark.parametrize("tables", names, indirect=True)


def race(tables, monkeypatch, level, change):
    """Let another processor make ``change`` to an entry just before the walk updates it."""
    locked = tables.memory.compare_exchange

    def raced(paddr, *operands):
        if paddr == tables.entry_paddr(level):
            monkeypatch.undo()
            tables[level] = change(tables[level])
        return locked(paddr, *operands)

    monkeypatch.setattr(tables.memory, "compare_exchange", raced)


@pytest.mark.parametrize("user", [False, True], ids=["supervisor", "user"])
@pytest.mark.parametrize("kind", [READ, FETCH], ids=["read", "fetch"])
def test_rule_22_a_translation_sets_a_in_every_entry(tables, kind, user):
    before = tables.entries
    assert tables.error(kind, user=user) == ALLOWED
    assert tables.entries == [entry | Entry.A for entry in before]


def test_rule_22_a_write_sets_d_in_the_leaf_alone(tables):
    *upper, leaf = tables.entries
    assert tables.write() == ALLOWED
    assert tables.entries == [entry | Entry.A for entry in upper] + [leaf | Entry.A | Entry.D]


def test_rule_22_a_write_after_a_read_sets_d(tables):
    assert tables.read() == ALLOWED
    assert not tables[tables.leaf] & Entry.D
    assert tables.write() == ALLOWED
    assert tables[tables.leaf] & Entry.D


@causes("read-only", "supervisor page")
def test_rule_22_a_forbidden_write_sets_no_d(tables, cause):
    spoil(tables, cause)
    assert tables.write(user=True) is not ALLOWED
    assert not any(entry & Entry.D for entry in tables.entries)


# The rule leaves the upper entries open; the model sets them, as the emulators do that walk once.
@causes("not present", "read-only", "supervisor page")
def test_rule_23_a_faulting_walk_sets_a_above_the_leaf_only(tables, cause):
    spoil(tables, cause)
    *upper, leaf = tables.entries
    assert tables.write(user=True) is not ALLOWED
    assert tables.entries == [entry | Entry.A for entry in upper] + [leaf]


def test_rule_24_an_update_goes_by_a_locked_exchange(tables, monkeypatch):
    exchanges = []
    locked = tables.memory.compare_exchange

    def recorded(*operands):
        exchanges.append(operands)
        return locked(*operands)

    monkeypatch.setattr(tables.memory, "compare_exchange", recorded)
    before, size = tables.entries, tables.mode.entry_bytes
    tables.write()
    places = [tables.entry_paddr(level) for level in tables.levels]
    assert exchanges == [
        (paddr, size, old, new)
        for paddr, old, new in zip(places, before, tables.entries, strict=True)
    ]
    exchanges.clear()
    tables.write()  # every flag is set by now
    assert exchanges == []


def test_rule_24_an_update_does_not_undo_what_others_write(tables, monkeypatch):
    race(tables, monkeypatch, tables.leaf, lambda entry: entry | SOFTWARE)
    tables.write()
    assert tables[tables.leaf] & SOFTWARE


def test_rule_24_a_walk_starts_over_when_an_entry_changed_underneath(tables, monkeypatch):
    race(tables, monkeypatch, tables.leaf, lambda entry: entry | SOFTWARE)
    steps = tables.access(WRITE).steps
    assert [step.level.name for step in steps] == tables.levels
    assert steps[-1].entry & SOFTWARE
    assert steps[-1].updated == tables[tables.leaf]
    assert tables[tables.leaf] & (Entry.A | Entry.D) == Entry.A | Entry.D


@pytest.mark.parametrize("kind", AccessKind, ids=["read", "write", "fetch"])
@shapes("ia32-4K", "x86_64-4K", "x86_64-2M", "x86_64-1G")
def test_rule_24_a_walk_that_starts_over_forgets_the_rights_it_saw(tables, monkeypatch, kind):
    root, sound = tables.levels[0], tables[tables.levels[0]]
    tables[root] &= ~(Entry.RW | Entry.US)
    if tables.mode.name == "x86_64":
        tables[root] |= Entry.XD
    race(tables, monkeypatch, root, lambda _entry: sound)
    assert tables.error(kind, user=True) == ALLOWED


@pytest.mark.parametrize("depth", [0, -1], ids=["root", "leaf"])
def test_rule_24_an_entry_that_went_away_underneath_is_not_used(tables, monkeypatch, depth):
    race(tables, monkeypatch, tables.levels[depth], lambda entry: entry & ~Entry.P)
    assert tables.read() == 0


@causes("not present", "reserved")
@shapes("ia32-4M", "x86_64-4K", "x86_64-2M", "x86_64-1G")
def test_rule_25_no_flag_is_set_in_an_unusable_leaf(tables, cause):
    spoil(tables, cause)
    before = tables[tables.leaf]
    assert tables.write(user=True) is not ALLOWED
    assert tables[tables.leaf] == before


@shapes("x86_64-4K", "x86_64-2M", "x86_64-1G")
def test_rule_25_no_flag_is_set_in_an_unusable_upper_entry_or_below(tables):
    tables.efer &= ~Efer.NXE
    for level in tables.levels[:-1]:
        sound = tables[level]
        for unusable in (sound & ~Entry.P, sound | 1 << 51, sound | Entry.XD):
            tables[level] = unusable
            depth = tables.levels.index(level)
            before = tables.entries[depth:]
            assert tables.write() is not ALLOWED
            assert tables.entries[depth:] == before
        tables[level] = sound


@pytest.mark.parametrize("kind", AccessKind, ids=["read", "write", "fetch"])
@causes("nothing", "not present", "read-only", "supervisor page")
def test_rule_25_no_flag_is_ever_cleared(tables, kind, cause):
    spoil(tables, cause)
    for level in tables.levels:
        tables[level] |= Entry.A | Entry.D
    before = tables.entries
    tables.error(kind, user=True)
    assert tables.entries == before


def test_rule_26_a_supervisor_write_to_a_read_only_page_sets_d_without_wp(tables):
    tables.cr0 &= ~Cr0.WP
    tables[tables.leaf] &= ~Entry.RW
    assert tables.write() == ALLOWED
    assert tables[tables.leaf] & Entry.D
