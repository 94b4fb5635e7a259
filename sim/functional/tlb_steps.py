"""What happens to each run of accesses, in functions that numba can compile.

They work on three rows of whole numbers, arrays or lists: ``m`` as ``TlbLayout`` has it, ``pages``
and ``nodes``. All functions that are called here are in this file, as ``compiled`` asks. What is
replaced by what, and in which order, follows the docstrings of hdl: ``FullL1``, ``SetL1``,
``L2Tlb``, ``WalkCache``, ``RequestPort``; tests compare the counts with the hardware's events.
"""

from typing import Any

from .compiled_function import compiled
from .tlb_layout import (
    ACCESSED,
    BANK_AT,
    BANK_OF,
    BANK_RECORD,
    BANKS,
    CLOCK,
    COUNTS,
    DIRTY,
    ENTRIES,
    ENTRY_RECORD,
    FIFO,
    FLAGS,
    FLUSH_COUNT,
    FLUSHES,
    FOLDED,
    FOLLOWS,
    FRESH,
    HELD,
    HOME,
    L2,
    L2_COUNTS,
    LEAF,
    LEVEL_AT,
    LEVEL_HEAD,
    LEVELS,
    LFSR,
    LRU,
    MAPPED,
    NODE,
    NODE_RECORD,
    OLD,
    OLDEST,
    PAGE_SPACE,
    PAGE_STRIDE,
    PER_PORT,
    PLRU,
    POLICY,
    PRESENT,
    SET_BITS,
    SET_HEAD,
    SETS,
    SHIFTS,
    SIZE,
    SIZES,
    SPACE,
    STAMP,
    TAG,
    TREE,
    USED,
    VPN,
    WALK_COUNTS,
    WAYS,
)

__all__ = ["play"]

GENERATIONS = 16  # of a PCID: then the second level is swept [L2Sequencer]
STORE = 2  # a run that begins with a store

Row = Any  # an array or a list of whole numbers


@compiled
def set_of(m: Row, pages: Row, bank: int, page: int) -> int:
    """Return the place of the set of a bank that a page may stand in."""
    bits = m[bank + SET_BITS]
    if bits == 0:
        first: int = m[bank + SETS]
        return first
    number: int = pages[page + VPN] >> m[SHIFTS + pages[page + SIZE]]
    if m[bank + FOLDED]:
        number ^= number >> bits
    number &= (1 << bits) - 1
    place: int = m[bank + SETS] + number * (SET_HEAD + m[bank + WAYS] * ENTRY_RECORD)
    return place


@compiled
def touch(m: Row, bank: int, entry: int, filled: bool) -> None:
    """Tell the policy of a bank that an entry is used, by a hit or a fill."""
    policy, ways = m[bank + POLICY], m[bank + WAYS]
    if policy == LRU:
        m[CLOCK] += 1
        m[entry + STAMP] = m[CLOCK]
        return
    row = m[entry + HOME]
    way = (entry - row - SET_HEAD) // ENTRY_RECORD
    if policy == PLRU:
        tree = row + SET_HEAD + TREE
        node, half = 1, ways >> 1
        while half:
            if way & half:
                m[tree + node * ENTRY_RECORD] = 0
                node = 2 * node + 1
            else:
                m[tree + node * ENTRY_RECORD] = 1
                node = 2 * node
            half >>= 1
    elif filled:
        if policy == FIFO:
            m[row + FOLLOWS] = 0 if way == ways - 1 else way + 1
        else:
            old = m[bank + LFSR]
            bit = (old ^ (old >> 2) ^ (old >> 3) ^ (old >> 5)) & 1
            m[bank + LFSR] = (old >> 1) | (bit << 15)


@compiled
def victim(m: Row, bank: int, row: int) -> int:
    """Return the entry that a full set gives up."""
    policy: int = m[bank + POLICY]
    ways: int = m[bank + WAYS]
    first = row + SET_HEAD
    if policy == LRU:
        oldest = first
        for entry in range(first + ENTRY_RECORD, first + ways * ENTRY_RECORD, ENTRY_RECORD):
            if m[entry + STAMP] < m[oldest + STAMP]:
                oldest = entry
        return oldest
    if policy == PLRU:
        node = 1
        while node < ways:
            node = 2 * node + m[first + node * ENTRY_RECORD + TREE]
        return first + (node - ways) * ENTRY_RECORD
    way: int = m[row + FOLLOWS] if policy == FIFO else (m[bank + LFSR] * ways) >> 16
    return first + way * ENTRY_RECORD


@compiled
def old_entry(m: Row, pages: Row, bank: int, row: int, page: int) -> int:
    """Return the entry of a set that held the same linear page until its generation, or -1."""
    first = row + SET_HEAD
    for entry in range(first, first + m[bank + WAYS] * ENTRY_RECORD, ENTRY_RECORD):
        old = m[entry + OLD]
        if old >= 0 and pages[old + VPN] == pages[page + VPN] and (
                pages[old + SIZE] == pages[page + SIZE]):
            return entry
    return -1


@compiled
def forget_old(m: Row, pages: Row, page: int) -> None:
    """Drop what is old of the address of a page that has faulted, in the second level."""
    bank = m[BANK_AT] + m[L2] * BANK_RECORD
    stride = SET_HEAD + m[bank + WAYS] * ENTRY_RECORD
    for size in range(m[SIZES]):
        shift = m[SHIFTS + size]
        number = pages[page + VPN] >> shift
        row = m[bank + SETS] + (number & ((1 << m[bank + SET_BITS]) - 1)) * stride
        for entry in range(row + SET_HEAD, row + stride, ENTRY_RECORD):
            old = m[entry + OLD]
            if old >= 0 and pages[old + SIZE] == size and pages[old + VPN] >> shift == number:
                m[entry + OLD] = -1


@compiled
def fill(m: Row, pages: Row, number: int, page: int, is_dirty: int) -> None:
    """Enter a page: where it is, or into the first vacant way, or in place of the victim."""
    bank = m[BANK_AT] + number * BANK_RECORD
    where = NODE + m[LEVELS] - 1 + number
    entry = pages[page + where]
    if entry < 0:
        row = set_of(m, pages, bank, page)
        if m[row + USED] < m[bank + WAYS]:
            entry = old_entry(m, pages, bank, row, page) if number == m[L2] else -1
            if entry < 0:
                entry = row + SET_HEAD
                while m[entry + TAG] >= 0:
                    entry += ENTRY_RECORD
            m[row + USED] += 1
        else:
            entry = victim(m, bank, row)
            pages[m[entry + TAG] + where] = -1
        m[entry + TAG] = page
        m[entry + OLD] = -1
        pages[page + where] = entry
    m[entry + FRESH] = is_dirty
    touch(m, bank, entry, True)


@compiled
def drop(m: Row, pages: Row, number: int, page: int) -> None:
    """Drop a page from a bank, if it is there."""
    where = page + NODE + m[LEVELS] - 1 + number
    entry = pages[where]
    if entry >= 0:
        pages[where] = -1
        m[entry + TAG] = -1
        m[m[entry + HOME] + USED] -= 1


@compiled
def drop_all(m: Row, pages: Row, nodes: Row) -> None:
    """Drop all pages and all nodes; what the policies know stays."""
    for number in range(m[BANKS]):
        bank = m[BANK_AT] + number * BANK_RECORD
        stride = SET_HEAD + m[bank + WAYS] * ENTRY_RECORD
        for index in range(1 << m[bank + SET_BITS]):
            row = m[bank + SETS] + index * stride
            for entry in range(row + SET_HEAD, row + stride, ENTRY_RECORD):
                page = m[entry + TAG]
                if page >= 0:
                    drop(m, pages, number, page)
                    if number == m[L2]:
                        m[entry + OLD] = page
                if (m[m[FLUSH_COUNT]] + 1) % GENERATIONS == 0:
                    m[entry + OLD] = -1
    for level in range(m[LEVELS] - 1):
        first = m[m[LEVEL_AT] + level] + LEVEL_HEAD
        for place in range(first, first + m[first - LEVEL_HEAD + ENTRIES]):
            if m[place] >= 0:
                nodes[m[place] + HELD] = -1
                m[place] = -1


@compiled
def keep_node(m: Row, nodes: Row, level: int, node: int) -> None:
    """Enter a node into its level of the walk cache, whose places take turns."""
    at = m[m[LEVEL_AT] + level]
    if m[at + ENTRIES] == 0 or nodes[node + HELD] >= 0:
        return
    place = at + LEVEL_HEAD + m[at + OLDEST]
    if m[place] >= 0:
        nodes[m[place] + HELD] = -1
    m[place] = node
    nodes[node + HELD] = place
    m[at + OLDEST] = (m[at + OLDEST] + 1) % m[at + ENTRIES]


@compiled
def drop_nodes(m: Row, pages: Row, nodes: Row, page: int) -> None:
    """Drop the nodes on the way to a page."""
    for level in range(pages[page + LEAF]):
        node = pages[page + NODE + level] * NODE_RECORD
        if nodes[node + HELD] >= 0:
            m[nodes[node + HELD]] = -1
            nodes[node + HELD] = -1


@compiled
def walk(m: Row, pages: Row, nodes: Row, page: int, is_store: bool) -> bool:
    """Walk to a page; return whether it is mapped. Flags are set as the hardware sets them."""
    leaf, counts = pages[page + LEAF], m[WALK_COUNTS]
    m[counts] += 1
    m[counts + 1] += 1
    start = 0
    for level in range(leaf - 1, -1, -1):
        if nodes[pages[page + NODE + level] * NODE_RECORD + HELD] >= 0:
            start = level + 1
            m[counts + 2 + level] += 1
            break
    reads, level = counts + 1 + m[LEVELS], start
    while level < leaf:
        m[reads + level] += 1
        node = pages[page + NODE + level] * NODE_RECORD
        if not nodes[node + PRESENT]:
            break
        keep_node(m, nodes, level, node)
        level += 1
    if level == leaf:
        m[reads + level] += 1
        if pages[page + FLAGS] & MAPPED:
            wanted = MAPPED | ACCESSED | (DIRTY if is_store else 0)
            if pages[page + FLAGS] & wanted != wanted:
                m[reads + m[LEVELS]] += 1
                pages[page + FLAGS] |= wanted
            return True
    m[reads + m[LEVELS] + 1] += 1
    return False


@compiled
def map_page(pages: Row, nodes: Row, page: int, is_store: bool) -> None:
    """Make a page present, with the flags that the first access leaves."""
    for level in range(pages[page + LEAF]):
        nodes[pages[page + NODE + level] * NODE_RECORD + PRESENT] = 1
    pages[page + FLAGS] = MAPPED | ACCESSED | (DIRTY if is_store else 0)


@compiled
def translate(m: Row, pages: Row, nodes: Row, port: int, page: int, is_store: bool) -> bool:
    """Translate an access that misses the TLB of its port; return whether it faulted."""
    size, l2 = pages[page + SIZE], m[L2]
    number = m[BANK_OF + port * m[SIZES] + size]
    if l2 >= 0:
        m[m[L2_COUNTS]] += 1
        entry = pages[page + NODE + m[LEVELS] - 1 + l2]
        if entry >= 0 and (m[entry + FRESH] or not is_store):
            m[m[L2_COUNTS] + 1 + size] += 1
            touch(m, m[BANK_AT] + l2 * BANK_RECORD, entry, False)
            fill(m, pages, number, page, m[entry + FRESH])
            return False
        m[m[L2_COUNTS] + 1 + m[SIZES]] += 1
        drop(m, pages, l2, page)
    if not walk(m, pages, nodes, page, is_store):
        m[m[COUNTS] + port * m[PER_PORT] + 2 + m[SIZES]] += 1
        for one in range(m[BANKS]):
            drop(m, pages, one, page)
        drop_nodes(m, pages, nodes, page)
        if l2 >= 0 and m[FLUSHES]:
            forget_old(m, pages, page)
        return True
    is_dirty = 1 if pages[page + FLAGS] & DIRTY else 0
    if l2 >= 0:
        fill(m, pages, l2, page, is_dirty)
    fill(m, pages, number, page, is_dirty)
    return False


@compiled
def play(m: Row, pages: Row, nodes: Row, page_numbers: Row,
         kinds: Row, lengths: Row, ports: Row) -> None:
    """Carry out runs: of each the page, the kind, the count; ``ports`` has the port of a kind."""
    stride, where, sizes = m[PAGE_STRIDE], NODE + m[LEVELS] - 1, m[SIZES]
    for at in range(len(page_numbers)):
        page, kind, hits = page_numbers[at] * stride, kinds[at], lengths[at]
        port, is_store, size = ports[kind], kind == STORE, pages[page + SIZE]
        if pages[page + PAGE_SPACE] != m[SPACE]:
            if m[FLUSHES] and m[SPACE] >= 0:
                drop_all(m, pages, nodes)
                m[m[FLUSH_COUNT]] += 1
            m[SPACE] = pages[page + PAGE_SPACE]
        number, counts = m[BANK_OF + port * sizes + size], m[COUNTS] + port * m[PER_PORT]
        m[counts] += hits
        entry = pages[page + where + number]
        if entry >= 0 and (m[entry + FRESH] or not is_store):
            touch(m, m[BANK_AT] + number * BANK_RECORD, entry, False)
        else:
            m[counts + 1 + sizes] += 1
            hits -= 1
            while translate(m, pages, nodes, port, page, is_store):
                map_page(pages, nodes, page, is_store)
                m[counts] += 1
                m[counts + 1 + sizes] += 1
        m[counts + 1 + size] += hits
