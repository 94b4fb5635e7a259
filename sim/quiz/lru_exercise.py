"""Which pages stay: replacement by a textbook's policies, and the two lists of Linux."""

from textwrap import fill

import numpy as np

from ...model.kernel.reclaim.lru import LruFlag, LruList, Lruvec
from .exercise import Exercise, Question

__all__ = ["POLICIES", "faults_of", "lists_exercise", "replacement_exercise"]

PAGES, USES, WIDTH = 6, 14, 100
POLICIES = {
    "FIFO": "the page that came in first goes",
    "LRU": "the page goes that was not used for the longest time",
    "OPT": "the page goes whose next use is the farthest away",
    "second chance": "pages are in a queue, with a bit that is clear when a page comes in, and set "
                     "when it is used again. The first of the queue goes if its bit is clear; "
                     "else the bit is cleared, and the page goes to the end of the queue",
}
QUEUE = LruList.INACTIVE_ANON

LISTS_GIVEN = """\
Linux keeps the pages of files in two lists, active and inactive, and knows of each page whether it
was referenced.
- A page that is read for the first time comes to the head of the inactive list. Each read, the
  first too, sets its referenced bit; but if that is set already, and the page is inactive, the page
  goes to the head of the active list and the bit is cleared.
- "age" takes the page at the tail of the active list, if there is one, to the head of the inactive
  list. Its referenced bit stays.

No page is in memory. In this order:

{events}"""


def replacement_exercise(rng: np.random.Generator) -> Exercise:
    """Return uses of pages under one policy, and ask how many fault."""
    policy = [*POLICIES][int(rng.integers(len(POLICIES)))]
    frames = int(rng.integers(3, 5))
    uses = [int(page) for page in rng.integers(0, PAGES, USES)]
    rule = fill(f"Memory has room for {frames} pages, and is empty. If it is full, "
                f"{POLICIES[policy]} ({policy}).", WIDTH, break_on_hyphens=False)
    given = f"{rule}\n\nPages in the order in which they are used: {' '.join(map(str, uses))}"
    faults = faults_of(policy, frames, uses)
    why = " ".join("fault" if fault else "hit" for fault in faults)
    return Exercise("lru", f"Page replacement: {policy}", given, (
        Question("How many of these uses are page faults?", str(sum(faults)), why=why),))


def faults_of(policy: str, frames: int, uses: list[int]) -> list[bool]:
    """Return which uses fault. The queue is a list of the kernel model, but for OPT."""
    lists = Lruvec(0, max(uses) + 1)
    faults = []
    for at, page in enumerate(uses):
        faults.append(page not in lists)
        if page in lists:
            if policy == "LRU":
                lists.isolate_page(page)
                lists.putback(page)
            elif policy == "second chance":
                lists.set_referenced(page)
            continue
        if len(lists) == frames:
            _evict(lists, policy, uses[at:])
        lists.add(page)
    return faults


def _evict(lists: Lruvec, policy: str, to_come: list[int]) -> None:
    if policy == "OPT":
        def distance(page: int) -> int:
            return to_come.index(page) if page in to_come else len(to_come)

        lists.delete(max(lists.pages(QUEUE), key=distance))
        return
    while True:
        page, = lists.isolate(QUEUE, 1)
        if not lists.test_clear_referenced(page):
            return
        lists.putback(page)


def lists_exercise(rng: np.random.Generator) -> Exercise:
    """Return reads of pages of a file, and ask for the lists of the kernel afterwards."""
    lists, events = Lruvec(0, PAGES), []
    for chance in rng.random(USES):
        if chance < 0.15:
            events.append("age")
            for page in lists.isolate(LruList.ACTIVE_FILE, 1):
                lists.putback(page, clear_flags=LruFlag.ACTIVE)
            continue
        page = int(rng.integers(PAGES))
        events.append(f"read page {page}")
        if page not in lists:
            lists.add(page, LruFlag.FILE)
        lists.mark_accessed(page)
    questions = []
    for name, kind in (("active", LruList.ACTIVE_FILE), ("inactive", LruList.INACTIVE_FILE)):
        pages = " ".join(map(str, lists.pages(kind)))
        questions.append(Question(
            f"Which pages are on the {name} list, from head to tail? Write the numbers with "
            "blanks, or 'none'.", pages or "none"))
    return Exercise("lru", "The lists of Linux", LISTS_GIVEN.format(
        events="\n".join(f"    {event}" for event in events)), tuple(questions))
