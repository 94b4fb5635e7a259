"""Permission against the golden walk: every access, control state, and rights of a page."""

from itertools import cycle, product

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.permission import Permission
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Efer, Entry, ErrorCode

from .bench import evaluate
from .golden import access_fields, control_fields
from .tables import PERMISSIVE, Tables

VADDR = 0x1234_5678
READ, WRITE, FETCH = AccessKind
ACCESSES = [Access(VADDR, kind, user=user, implicit=implicit, ac=ac)
            for kind, user, implicit, ac in product(AccessKind, *[(False, True)] * 3)]
# States of an entry, as its P bit and whether a reserved bit is set.
USABLE, RESERVED, NOT_PRESENT, NEITHER = (1, 0), (1, 1), (0, 0), (0, 1)


def controls(mode, pkru):
    """Yield each combination of the control bits that permissions depend on."""
    long = mode is X86_64
    fixed = Cr4.PSE | Cr4.PAE * long
    for cr0, smep, smap, pke, nxe in product(
            (0, Cr0.WP), (0, Cr4.SMEP), (0, Cr4.SMAP), (0, Cr4.PKE), (0, Efer.NXE)):
        if long or not nxe:  # 32-bit paging has no PAE, so NXE means nothing: the MMU clears it
            yield Control(0, Cr0.PG | cr0, fixed | smep | smap | pke, nxe, pkru)


def rights_of(control):
    """Yield each combination of rights that a page can have under ``control``."""
    disables = (0, 1) if control.efer & Efer.NXE else (0,)
    for writable, user, disable in product((0, 1), (0, 1), disables):
        yield {"writable": writable, "user": user, "execute_disable": disable}


class Page:
    """A large page in page tables, with any rights: what the golden walk says of accesses."""

    def __init__(self, mode):
        self.tables = Tables(mode)
        self.leaf = self.tables.map(VADDR, 0, page=1)[-1]
        self.reserved_bit = 13 if mode is X86_64 else 21

    def walk(self, control, rights, state, access):
        present, reserved = state
        entry = PERMISSIVE | Entry.PS | rights["key"] << 59
        for bit, wanted in ((Entry.P, present), (Entry.RW, rights["writable"]),
                            (Entry.US, rights["user"])):
            entry &= -1 if wanted else ~bit
        entry |= rights["execute_disable"] * Entry.XD
        entry |= reserved << self.reserved_bit
        self.tables.write(self.leaf, entry)
        control = Control(self.tables.cr3, control.cr0, control.cr4, control.efer, control.pkru)
        return walk(self.tables.memory, self.tables.mode, control, access)


def rtl_verdicts(config, cases):
    """Return, for each case, the error code, or None if the access may proceed."""
    stimuli = [{
        "control": control_fields(config, control),
        "rights": rights,
        "present": present,
        "reserved": reserved,
        "access": access_fields(access),
    } for control, rights, (present, reserved), access in cases]
    results = evaluate(Permission(config), stimuli, ("fault", "error_code"))
    return [result["error_code"] if result["fault"] else None for result in results]


def ref_verdicts(config, cases):
    page = Page(config.mode)
    walks = [page.walk(*case) for case in cases]
    return [one.fault.error_code if one.fault else None for one in walks]


def assert_all_agree(config, cases):
    assert len(cases) > 100
    verdicts = zip(cases, rtl_verdicts(config, cases), ref_verdicts(config, cases), strict=True)
    wrong = [(case, rtl, ref) for case, rtl, ref in verdicts if rtl != ref]
    assert not wrong, f"{len(wrong)} of {len(cases)}, first {wrong[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("disable", range(4))
def test_long_mode_verdicts_equal_the_golden_walks(disable):
    config = Config()
    cases = []
    # The page's key goes round; all other keys have the opposite rights.
    for key, control in zip(cycle(range(16)), controls(X86_64, 0), strict=False):
        pkru = (0xFFFF_FFFF // 3 * (3 - disable)) & ~(3 << 2 * key) | disable << 2 * key
        control = Control(0, control.cr0, control.cr4, control.efer, pkru)
        cases += [(control, rights | {"key": key}, USABLE, access)
                  for rights in rights_of(control) for access in ACCESSES]
    assert_all_agree(config, cases)


def test_32_bit_verdicts_equal_the_golden_walks():
    cases = [(control, rights | {"key": 0}, USABLE, access)
             for control in controls(IA32, pkru=0xFFFF_FFFF)
             for rights in rights_of(control) for access in ACCESSES]
    assert_all_agree(Config(mode=IA32), cases)


@pytest.mark.slow
@pytest.mark.parametrize("state", [RESERVED, NOT_PRESENT, NEITHER], ids=str)
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_what_cannot_be_used_faults_whatever_its_rights(mode, state):
    """And the error code says so: protection keys and rights leave no trace in it."""
    cases = []
    for control in controls(mode, pkru=0xFFFF_FFFF):
        rights = list(rights_of(control))
        cases += [(control, one | {"key": 0}, state, access)
                  for one in (rights[0], rights[-1]) for access in ACCESSES]
    assert_all_agree(Config(mode=mode), cases)


# Rules worth a name, as literal error codes: control bits beside WP and NXE, rights that the page
# lacks (or has, for XD), PKRU, the access, and the verdict.
P, WR, US, RSVD, ID, PK = ErrorCode
RULES = {
    "a supervisor may write a read-only page without WP":
        (0, {"writable": 0, "wp": 0}, 0, Access(0, WRITE), None),
    "a user may not write a read-only page without WP":
        (0, {"writable": 0, "wp": 0}, 0, Access(0, WRITE, user=True), P | WR | US),
    "a user may not read a supervisor page":
        (0, {"user": 0}, 0, Access(0, READ, user=True), P | US),
    "execute-disable stops supervisor fetches":
        (0, {"execute_disable": 1}, 0, Access(0, FETCH), P | ID),
    "a fetch has I/D in its error code with SMEP alone":
        (Cr4.SMEP, {"nxe": 0}, 0, Access(0, FETCH), P | ID),
    "a fetch has no I/D in its error code without NXE and SMEP":
        (0, {"nxe": 0, "user": 0}, 0, Access(0, FETCH, user=True), P | US),
    "SMAP lets explicit accesses through with AC":
        (Cr4.SMAP, {}, 0, Access(0, READ, ac=True), None),
    "SMAP stops explicit accesses without AC":
        (Cr4.SMAP, {}, 0, Access(0, READ), P),
    "SMAP stops implicit accesses in spite of AC, as supervisor accesses at CPL 3 too":
        (Cr4.SMAP, {}, 0, Access(0, WRITE, user=True, implicit=True, ac=True), P | WR),
    "SMAP does not concern fetches":
        (Cr4.SMAP, {}, 0, Access(0, FETCH), None),
    "PKRU.AD stops supervisor reads of user pages":
        (Cr4.PKE, {}, 1, Access(0, READ), P | PK),
    "PKRU.WD binds supervisor writes only with WP":
        (Cr4.PKE, {"wp": 0}, 2, Access(0, WRITE), None),
    "PKRU.WD stops user writes without WP":
        (Cr4.PKE, {"wp": 0}, 2, Access(0, WRITE, user=True), P | WR | US | PK),
    "PKRU does not concern supervisor pages":
        (Cr4.PKE, {"user": 0}, 1, Access(0, READ, user=True), P | US),
    "PKRU does not concern fetches":
        (Cr4.PKE, {}, 3, Access(0, FETCH, user=True), None),
    "PK is set beside what else stops a write":
        (Cr4.PKE, {"writable": 0}, 1, Access(0, WRITE, user=True), P | WR | US | PK),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_the_manual(rule):
    cr4, changes, pkru, access, verdict = RULES[rule]
    state = {"writable": 1, "user": 1, "execute_disable": 0, "wp": 1, "nxe": 1} | changes
    control = Control(0, Cr0.PG | Cr0.WP * state.pop("wp"), cr4 | Cr4.PAE,
                      Efer.NXE * state.pop("nxe"), pkru)
    case = (control, state | {"key": 0}, USABLE, access)
    assert rtl_verdicts(Config(), [case]) == [verdict]
