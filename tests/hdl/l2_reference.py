"""Plain Python that does to lists of pages what the second-level TLB does to its sets."""

from dataclasses import dataclass

from pagewalk.model.mmu.rights import Rights
from pagewalk.model.x86 import AccessKind, Efer

from .test_replacement import REFERENCES, RefRandom

PAGE_BITS = {"ia32": (0, 10), "x86_64": (0, 9, 18), "la57": (0, 9, 18)}
"""log2 of the 4-Kbyte pages in a page of each size."""

DROPS_BEFORE_A_SWEEP = 15
"""How often the entries of a PCID can be dropped before one drop takes a sweep."""


@dataclass
class RefPage:
    """A page that is held; a ``dead`` one is never found, but keeps its place for a while."""

    vpn: int
    pcid: int
    translation: dict
    dead: bool = False


class RefL2:
    """The sets, each a list of pages or None, and a policy for each set.

    Operations return how many cycles they take: a lookup from its acceptance to the answer or the
    offer of a walk, a drop while it is busy.
    """

    def __init__(self, mode, sets, ways, policy):
        self.mode = mode
        self.sets = [[None] * ways for _ in range(sets)]
        self.policy = policy
        self.policies = self.fresh_policies()
        self.shifts = PAGE_BITS[mode.name]
        self.sizes = {0}
        self.context_drops = {}

    def fresh_policies(self):
        """Return a policy for each set, or the same for all if it knows nothing of the pages."""
        ways = len(self.sets[0])
        if self.policy == "random":
            return [RefRandom(ways)] * len(self.sets)
        return [REFERENCES[self.policy](ways) for _ in self.sets]

    def place(self, vpn, size):
        """Return the number of a page of this size, and its set."""
        number = vpn >> self.shifts[size]
        return number, number % len(self.sets)

    def standing(self, vpn, size):
        """Return the set for a page of this size, and the slots of it that hold that page."""
        number, index = self.place(vpn, size)
        slots = [slot for slot, page in enumerate(self.sets[index])
                 if page and page.translation["page"] == size
                 and page.vpn >> self.shifts[size] == number]
        return index, slots

    def lookup(self, access, control):
        """Return the translation, or None if it has to be walked, and after how many cycles."""
        vpn = access.vaddr % (1 << self.mode.translated_bits) >> 12
        pcid = control.cr3 & 0xFFF
        for probe, size in enumerate(sorted(self.sizes)):
            index, slots = self.standing(vpn, size)
            found = [slot for slot in slots if not self.sets[index][slot].dead
                     and (self.sets[index][slot].pcid == pcid
                          or self.sets[index][slot].translation["global_page"])]
            assert len(found) <= 1, "two entries of a set translate one address"
            for slot in found:
                translation = self.sets[index][slot].translation
                if usable(self.mode, translation, access, control):
                    self.policies[index].touch(slot, False)
                    return translation, 4 + probe
                self.sets[index][slot] = None
                return None, 4 + probe
        return None, 3 + len(self.sizes)

    def fill(self, vpn, pcid, translation):
        """Enter a page where there is one that would be found with it, or none, or the victim."""
        index, slots = self.standing(vpn, translation["page"])
        ways = self.sets[index]
        overlapping = [slot for slot in slots if ways[slot].pcid == pcid
                       or ways[slot].translation["global_page"] or translation["global_page"]]
        vacant = [slot for slot, page in enumerate(ways) if page is None
                  or (page.dead and page.pcid == pcid)]
        slot = (overlapping or vacant or [self.policies[index].victim()])[0]
        for other in overlapping:
            ways[other] = None
        ways[slot] = RefPage(vpn, pcid, translation)
        self.policies[index].touch(slot, True)
        self.sizes.add(translation["page"])

    def drop(self, condition):
        """Drop the pages that meet the condition, a dict of the fields of a drop."""
        if condition["by_address"]:
            for size in self.sizes:
                index, slots = self.standing(condition["vpn"], size)
                self._remove(index, slots, condition)
            return 2 + len(self.sizes)
        if not condition["by_pcid"] and condition["globals"]:
            self.sets = [[None] * len(ways) for ways in self.sets]
            self.sizes = {0}
            if self.policy != "random":
                self.policies = self.fresh_policies()
            return len(self.sets)
        if condition["by_pcid"] and not condition["globals"]:
            return self._drop_context(condition)
        return self._sweep(condition)

    def _drop_context(self, condition):
        pcid = condition["pcid"] if self.mode.has_pcids else 0
        drops = self.context_drops.get(pcid, 0)
        if drops == DROPS_BEFORE_A_SWEEP:
            self.context_drops[pcid] = 0
            return 3 + self._sweep(condition)
        self.context_drops[pcid] = drops + 1
        for ways in self.sets:
            for page in ways:
                if page and page.pcid == pcid and not page.translation["global_page"]:
                    page.dead = True
        return 3

    def _sweep(self, condition):
        for index, ways in enumerate(self.sets):
            self._remove(index, range(len(ways)), condition)
        return 2 * len(self.sets) + 2

    def _remove(self, index, slots, condition):
        """Remove what meets a condition about PCID and global pages from slots of a set."""
        pcid = condition["pcid"] if self.mode.has_pcids else 0
        for slot in slots:
            page = self.sets[index][slot]
            if page and (condition["globals"] if page.translation["global_page"]
                         else not condition["by_pcid"] or page.pcid == pcid):
                self.sets[index][slot] = None


def usable(mode, translation, access, control):
    """Return whether an entry may answer an access; else a walk has to."""
    rights = translation["rights"]
    held = Rights(bool(rights["writable"]), bool(rights["user"]),
                  bool(rights["execute_disable"]), rights["key"])
    if held.execute_disable and not control.efer & Efer.NXE:
        return False
    if access.kind is AccessKind.WRITE and not translation["dirty"]:
        return False
    return held.permit(control, access) and not held.key_blocks(mode, control, access)
