"""Which walk a response belongs to, and where it leads down. [SDM 4.3, 4.5]"""

from amaranth import Cat, Const, Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import Entry
from .bitfield import field
from .entry_decoder import EntryDecoder
from .select import select
from .shapes import MEMORY_TAG_BITS, memory_response_layout
from .walk_context import table_rights_layout

__all__ = ["WalkFollow", "followed_layout", "index_of"]


def followed_layout(config):
    """Return what is to be known of a walk to follow a response to its access.

    ``count`` is the number of the access, or ``next_count`` is if it is ``counted``.
    """
    return data.StructLayout({
        "waiting": 1, "count": MEMORY_TAG_BITS, "next_count": MEMORY_TAG_BITS, "counted": 1,
        "level": range(len(config.mode.levels)), "updating": 1,
        "lacking": 1, "setting": 1, "quiet": 1,
        "vpn": config.vpn_bits, "nxe": 1, "pse": 1})


def index_of(mode, vpn, level, below=0):
    """Return the index of the entry of ``level + below`` for a page number; 0 beyond the last."""
    low = mode.pages[0].shift
    indices = [vpn[one.shift - low:one.shift - low + one.index_bits]
               for one in mode.levels[below:]]
    return select(level, indices + [Const(0)] * below)


class WalkFollow(wiring.Component):
    """Finds the walk that a response belongs to, and the entry that it leads down to.

    An entry leads down if it is present, has no reserved bit set, points to a table, and has its
    accessed flag, be it that the access has just set it, or that flags are set last. With any
    other response the walk is to be judged. What follows from ``leads`` takes long to know; but for
    the next access all of it is needed in the next cycle only.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    walks : In(followed_layout), one for each context
        What the walks are at.
    valid : In(1), response : In(memory_response_layout)
        The response, if there is one.
    number : Out
        The context that its tag names.
    respond : Out, one bit for each context
        Whose response it is; of nobody if it is late, to an access that a reset has cut off.
    leads : Out(1)
        The entry leads down, if the response is anybody's.
    level, updating : Out
        Level of the entry, and whether the access was to set flags.
    table : Out, rights : Out(table_rights_layout)
        Frame number of the table that the entry points to, and its own rights.
    lacks : Out(1)
        The entry leads down without its accessed flag.
    cacheable : Out(1)
        Its meaning does not depend on CR4.PSE, and on the way to its table all accessed flags are
        set.
    index : Out
        Which entry of the table comes next.
    """

    def __init__(self, config):
        self._config = config
        levels = range(len(config.mode.levels))
        super().__init__({
            "walks": In(followed_layout(config)).array(config.walkers),
            "valid": In(1),
            "response": In(memory_response_layout(config)),
            "number": Out(range(max(2, config.walkers))),
            "respond": Out(config.walkers), "leads": Out(1),
            "level": Out(levels), "updating": Out(1),
            "table": Out(config.root_bits), "rights": Out(table_rights_layout()),
            "lacks": Out(1), "cacheable": Out(1),
            "index": Out(max(level.index_bits for level in config.mode.levels)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = EntryDecoder(self._config)
        mode, walks, response = self._config.mode, self.walks, self.response
        count, number = response.tag[:MEMORY_TAG_BITS], response.tag[MEMORY_TAG_BITS:]

        def of(name):
            return select(number, [walk[name] for walk in walks])

        enough = accessed = decoder.accessed
        if self._config.walks_quietly:
            enough |= of("quiet")
        if self._config.sets_flags_last:
            enough |= ~of("setting")
        if self._config.notes_lacking:
            accessed |= self.updating
            m.d.comb += self.lacks.eq(self.leads & ~accessed)
            accessed &= ~of("lacking")
        else:
            accessed = Const(1)  # of each entry that leads down
        m.d.comb += [
            self.number.eq(number),
            self.respond.eq(Cat(
                self.valid & walk.waiting & (number == one)
                & (Mux(walk.counted, walk.next_count, walk.count) == count)
                for one, walk in enumerate(walks))),
            self.updating.eq(of("updating")),
            self.level.eq(of("level")),
            decoder.entry.eq(response.data),
            decoder.level.eq(self.level),
            decoder.pse.eq(of("pse")),
            decoder.nxe.eq(of("nxe")),
            self.leads.eq(~response.error & decoder.pointer
                          & Mux(self.updating, response.exchanged, enough)),
            self.table.eq(decoder.table),
            self.rights.writable.eq(decoder.rights.writable),
            self.rights.user.eq(decoder.rights.user),
            self.rights.execute_disable.eq(decoder.rights.execute_disable),
            self.cacheable.eq(~field(response.data, Entry.PS) & accessed),
            self.index.eq(select(number, [index_of(mode, walk.vpn, walk.level, below=1)
                                          for walk in walks])),
        ]
        return m
