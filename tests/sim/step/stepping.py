"""Sessions on small page tables, in the mode of any configuration, and what golden walks say."""

from dataclasses import replace

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import AccessKind, Cr4
from pagewalk.sim.explain.tlb_contents import table_entries, tlb_entry
from pagewalk.sim.explain.toy_tables import ToyTables
from pagewalk.sim.step.session import StepSession
from pagewalk.sim.step.step_requests import RequestReader

from ..standard_configs import STANDARD

CONFIGS = {name: one.config for name, one in STANDARD.items()}

PCID = 5

# {a} are the flags that are set in entries which lead to tables, {ad} in those of pages.
LONG = """
geometry = "{name}"
root = {root}
{top}
[frames.2]
0 = {{ frame = 3, flags = "P RW US{a}" }}
511 = {{ frame = 6, flags = "P RW{a}" }}
[frames.3]
0 = {{ frame = 4, flags = "P RW US{a}" }}
[frames.4]
2 = {{ frame = 5, flags = "P RW US{a}" }}
3 = {{ frame = 0x600, flags = "P RW US PS XD{ad}" }}
[frames.5]
0 = {{ frame = 0x50, flags = "P US{ad}" }}
1 = {{ frame = 0x51, flags = "P RW US XD PCD{ad}", key = 3 }}
[frames.6]
511 = {{ frame = 7, flags = "P RW{a}" }}
[frames.7]
0 = {{ frame = 8, flags = "P RW{a}" }}
[frames.8]
2 = {{ frame = 0x1002, flags = "P RW G{ad}" }}
"""
FIFTH = """
[frames.1]
0 = {{ frame = 2, flags = "P RW US{a}" }}
511 = {{ frame = 2, flags = "P RW US{a}" }}
"""
IA32 = """
geometry = "ia32"
root = 1
[frames.1]
0 = {{ frame = 2, flags = "P RW US{a}" }}
3 = {{ frame = 0x400, flags = "P RW US PS{ad}" }}
800 = {{ frame = 3, flags = "P RW{a}" }}
[frames.2]
0 = {{ frame = 0x50, flags = "P US{ad}" }}
1 = {{ frame = 0x51, flags = "P RW US PCD{ad}" }}
[frames.3]
2 = {{ frame = 0x1002, flags = "P RW G{ad}" }}
"""

LONG_LINES = ("read 0x400010 user", "write 0x401008 user", "read 0xffffffffc0002018",
              "read 0x612345 user")
LINES = {"ia32": ("read 0x10 user", "write 0x1008 user", "read 0xc8002018", "read 0xc12345 user"),
         "x86_64": LONG_LINES, "la57": LONG_LINES}
"""Of each mode requests, whose pages are in different sets of whatever TLB."""


class Stepped:
    """A session on tables of the configuration's mode, with a reader of requests."""

    def __init__(self, config, tmp_path, **options):
        self.config, name = config, config.mode.name
        flags = {"a": " A", "ad": " A D"} if config.ad == "fault" else {"a": "", "ad": ""}
        text = IA32.format(**flags) if name == "ia32" else LONG.format(
            name=name, root=1 if name == "la57" else 2,
            top=FIFTH.format(**flags) if name == "la57" else "", **flags)
        path = tmp_path / "tables.toml"
        path.write_text(text)
        toy = ToyTables(path)
        self.control = toy.control
        if config.mode.has_pcids:
            self.control = replace(toy.control, cr3=toy.control.cr3 | PCID,
                                   cr4=toy.control.cr4 | Cr4.PCIDE)
        self.golden_memory = toy.memory()
        self.session = StepSession(config, toy.memory(), **options)
        self.reader = RequestReader(config, self.control)
        self.lines = LINES[name]

    def add(self, *lines):
        for line in lines:
            self.session.add(self.reader.read(line))

    def run(self, rest=0):
        """Step until all is done, and some cycles more; return the states."""
        states = []
        while not self.session.done:
            assert not self.session.stalled
            self.session.step()
            states.append(self.session.state())
        for _ in range(rest):
            self.session.step()
            states.append(self.session.state())
        return states

    def walks(self):
        """Return the golden walks of the accesses, which set flags in the golden memory."""
        accesses = (Access(int(vaddr, 16), AccessKind[kind.upper()], user=bool(user))
                    for kind, vaddr, *user in map(str.split, self.lines))
        return [walk(self.golden_memory, self.config.mode, self.control, access,
                     self.config.paddr_bits) for access in accesses]

    def pages(self, walks):
        """Return what a TLB may keep of golden walks."""
        return [tlb_entry(self.config.mode, self.control, one) for one in walks]

    def tables(self, walks):
        """Return what a walk cache may keep of golden walks."""
        return {one for done in walks for one in table_entries(
            self.config.mode, self.control, done, self.config.paddr_bits)}
