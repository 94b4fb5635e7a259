"""An L1 TLB whose 4-Kbyte pages are in sets, and whose large pages are in a few entries beside."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .l1_full import FullL1
from .l1_tags import found_layout, lookup_key_layout
from .onehot import encode
from .permission import denials, needs_layout, sets_dirty
from .set_policy import SET_POLICIES
from .shapes import PCID_BITS, drop_layout, rights_layout, translation_layout

__all__ = ["SetL1", "set_index"]


def set_index(config, vpn):
    """Return the number of the set that holds page number ``vpn``, of as many bits as it takes.

    That is its lowest bits, or with ``folded`` those and as many of the next ones, added bit by bit
    without carry, so that pages that lie a power of two apart are not all in one set.
    """
    bits = (config.sets - 1).bit_length()
    return vpn[:bits] ^ vpn[bits:2 * bits] if config.index == "folded" else vpn[:bits]


def _told_apart(config, vpn):
    """Return what tells the page numbers of a set apart: all but the lowest bits.

    The number of the set and the bits above them tell these, folded or not.
    """
    return vpn[(config.sets - 1).bit_length():]


class SetL1(wiring.Component):
    """Holds translations, and finds the one of a page number and PCID, and what it denies.

    A page of 4 Kbytes is in one of the ``ways`` places of the set of its page number. All of a set
    is in distributed RAMs, one for each way, and only that set's entries are compared. Larger pages
    are in a ``FullL1`` of ``large_entries``. A lookup has two halves, as there: ``found`` follows
    the key and ``needs``, all that is known of the page follows ``at_hand``.

    At most one entry of the sets matches any key. If both a small page and a large one do, which
    needs software that changed the size of a page and told nobody, the small one counts.

    A drop by address takes its cycle and the next one, as an entry is compared in one cycle and
    dropped in the next. Any other goes through the sets, one a cycle, from the next cycle on, and
    takes one more; so does a reset, as the RAMs do not know of it. Meanwhile nothing may be looked
    up, or filled.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU; ``ways`` is not 0.

    Members
    -------
    offered, inner : In(lookup_key_layout), inside : In(1), needs : In(needs_layout)
        The key, which is ``inner`` if ``inside``, else ``offered``, as ``FullL1`` has it, and what
        the access asks of the page.
    changing : In(1)
        As ``inside``, for what set is read alone: it must be set while there is a ``drop`` or
        ``busy``.
    upcoming : In
        The page number of ``inner`` in the next cycle, if that is ``changing``: its set is out of a
        register.
    found : Out, at_hand : In
        What the first half of a lookup finds, and the second goes by.
    hit, present, denied, key_denied, fine : Out(1), translation : Out(translation_layout)
        What is known of the page, as ``FullL1`` has it.
    touch : In(1)
        Tell the replacement policy that the entry at hand is used.
    fill : In(1), fill_translation : In(translation_layout), fill_large : In(1)
        Enter the translation of the key, of a page that may be larger than 4 Kbytes. The key must
        be what ``at_hand`` was found by. It goes into the
        entry at hand if there is one, or else into an invalid one of the set, or else into the
        policy's victim.
    drop : In(drop_layout), busy : Out(1), sweeping : Out(1)
        Entries to drop; the key must be ``inner``, and hold address and PCID. Whether that is still
        at work, and whether a set is gone through in this cycle.
    """

    def __init__(self, config):
        self._config = config
        per_way = (
            "near", "far", "unusable", "denied", "key_denied", "fine", "vacant", "same_near")
        found = data.StructLayout({
            "set": range(config.sets), **dict.fromkeys(per_way, config.ways),
            "large": found_layout(config.large_entries)})
        # Up to which bit page numbers are compared together with PCIDs: half of all bits are.
        self._pace = "comb" if config.has_miss_file else "sync"
        pcid_bits = PCID_BITS if config.mode.has_pcids else 0
        self._cut = max(0, (config.vpn_bits - (config.sets - 1).bit_length() - pcid_bits) // 2)
        super().__init__({
            "offered": In(lookup_key_layout(config)),
            "inner": In(lookup_key_layout(config)),
            "inside": In(1),
            "changing": In(1),
            "upcoming": In(config.vpn_bits),
            "needs": In(needs_layout(config)),
            "found": Out(found),
            "at_hand": In(found),
            "hit": Out(1),
            "present": Out(1),
            "translation": Out(translation_layout(config)),
            "denied": Out(1),
            "key_denied": Out(1),
            "fine": Out(1),
            "touch": In(1),
            "fill": In(1),
            "fill_translation": In(translation_layout(config)),
            "fill_large": In(1),
            "drop": In(drop_layout(config)),
            "busy": Out(1),
            "sweeping": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.large = large = FullL1(
            self._config, self._config.large_entries, smallest=1)
        index, sweep = Signal(range(self._config.sets)), Signal(self._sweep_layout())
        fill_small, key = Signal(), Signal.like(self.offered)
        match = Signal(self._config.ways)  # the way at hand
        m.d.comb += [
            # Nothing but one multiplexer lies between a request and the RAMs.
            index.eq(Mux(self.changing, sweep.set, set_index(self._config, self.offered.vpn))),
            key.eq(Mux(self.inside, self.inner, self.offered)),
            fill_small.eq(self.fill & ~self.fill_large),
            large.offered.eq(self.offered),
            large.inner.eq(self.inner),
            large.inside.eq(self.inside),
            large.needs.eq(self.needs),
            large.at_hand.eq(self.at_hand.large),
            large.fill.eq(self.fill & self.fill_large),
            large.fill_translation.eq(self.fill_translation),
            large.touch.eq(self.touch & ~match.any()),
            large.drop.eq(self.drop),
            match.eq(self.at_hand.near & self.at_hand.far),
            self.found.set.eq(index),
            self.found.large.eq(large.found),
        ]
        cleared = self._sweep(m, sweep)
        way = self._replace(m, match, fill_small, cleared)
        conditions = self._conditions(m, sweep)
        small = [self._way(m, number, key, index, sweep, conditions, fill_small & way[number])
                 for number in range(self._config.ways)]
        self._tell(m, match, small, large)
        return m

    def _sweep_layout(self):
        """Return what is dropped of which sets, and why.

        ``set`` is the one that is gone through, if it is ``valid``, or that is dropped from.
        """
        return data.StructLayout({"valid": 1, "set": range(self._config.sets), "by_pcid": 1,
                                  "globals": 1, "pcid": PCID_BITS, "reset": 1})

    def _sweep(self, m, sweep):
        """Go through the sets after a drop without an address, and after a reset.

        Return whether the set that is gone through becomes as after a reset.
        """
        state = Signal(self._sweep_layout(), init={"valid": 1, "globals": 1, "reset": 1})
        late = Signal()  # what was found in the cycle before is dropped in this one
        m.d.comb += [self.busy.eq(state.valid | late), self.sweeping.eq(state.valid),
                     sweep.eq(state)]
        m.d.sync += late.eq(self.drop.valid | state.valid)
        with m.If(state.valid):
            m.d.sync += [state.set.eq(state.set + 1),
                         state.valid.eq(state.set != self._config.sets - 1)]
        with m.Else():
            m.d.sync += state.set.eq(set_index(self._config, self.upcoming))
        with m.If(~state.valid & self.drop.valid & ~self.drop.by_address):
            m.d.sync += [
                state.valid.eq(1),
                state.set.eq(0),
                state.reset.eq(0),
                state.by_pcid.eq(self.drop.by_pcid),
                state.globals.eq(self.drop.globals),
                state.pcid.eq(self.inner.pcid),
            ]
        return state.valid & state.reset

    def _conditions(self, m, sweep):
        """Return what is dropped of the set that was compared in the cycle before."""
        drop, sweeps = self.drop, sweep.valid
        conditions = Signal(data.StructLayout(
            dict.fromkeys(("valid", "by_address", "by_pcid", "globals"), 1)))
        m.d.sync += [
            conditions.valid.eq(sweeps | (drop.valid & drop.by_address)),
            conditions.by_address.eq(~sweeps),
            conditions.by_pcid.eq(Mux(sweeps, sweep.by_pcid, drop.by_pcid)),
            conditions.globals.eq(Mux(sweeps, sweep.globals, drop.globals)),
        ]
        return conditions

    def _way(self, m, number, key, index, sweep, conditions, fill):
        """Add one way, which is filled if ``fill``; return the translation at hand in it.

        What is dropped of it, ``conditions`` say.
        """
        found = self.found
        layout = data.StructLayout({
            "valid": 1, "vpn": len(_told_apart(self._config, key.vpn)), "pcid": PCID_BITS,
            "global_page": 1, "dirty": 1, "rights": rights_layout()})
        m.submodules[f"tags_{number}"] = tags = memory.Memory(
            shape=layout, depth=self._config.sets, init=[])
        m.submodules[f"way_{number}"] = translations = memory.Memory(
            shape=translation_layout(self._config), depth=self._config.sets, init=[])
        tag = Signal(layout, name=f"tag_{number}")
        near, far, same_pcid = (
            Signal(name=f"{name}_{number}") for name in ("same_near", "same_far", "same_pcid"))
        found_near = Signal(name=f"found_near_{number}")
        vpn, cut = _told_apart(self._config, key.vpn), self._cut
        dropped = Signal(name=f"dropped_{number}")
        read_tag, write_tag = tags.read_port(domain="comb"), tags.write_port()
        read, write = translations.read_port(domain="comb"), translations.write_port()
        dropped_set = Signal.like(index, name=f"dropped_set_{number}", reset_less=True)
        denied, key_denied = denials(self.needs, tag.rights)
        compared = Signal(data.StructLayout({"vpn": 1, "pcid": 1, "global_page": 1}),
                          name=f"compared_{number}", reset_less=True)  # in the cycle before
        m.d.comb += [
            read_tag.addr.eq(index),
            tag.eq(read_tag.data),
            near.eq(tag.vpn[:cut] == vpn[:cut]),
            far.eq(tag.vpn[cut:] == vpn[cut:]),
            same_pcid.eq(tag.pcid == key.pcid),
            found_near.eq(tag.valid & near & (same_pcid | tag.global_page)),
            found.near[number].eq(found_near),
            found.far[number].eq(far),
            found.same_near[number].eq(near),
            found.vacant[number].eq(~tag.valid),
            found.unusable[number].eq((sets_dirty(self.needs) & ~tag.dirty)
                                      | (tag.rights.execute_disable & ~self.needs.nxe)),
            found.denied[number].eq(denied),
            found.fine[number].eq(~found.unusable[number] & ~denied),
            found.key_denied[number].eq(key_denied),
            read.addr.eq(self.at_hand.set),
            write.addr.eq(self.at_hand.set),
            write.en.eq(fill),
            write.data.eq(self.fill_translation),
        ]
        self._write_tag(m, number, write_tag, fill, dropped, dropped_set)
        m.d.sync += [
            dropped_set.eq(index),
            compared.vpn.eq(near & far),
            compared.pcid.eq(tag.pcid == Mux(sweep.valid, sweep.pcid, self.inner.pcid)),
            compared.global_page.eq(tag.global_page),
        ]
        m.d.comb += dropped.eq(
            conditions.valid & (compared.vpn | ~conditions.by_address)
            & Mux(compared.global_page, conditions.globals, compared.pcid | ~conditions.by_pcid))
        return read.data

    def _write_tag(self, m, number, write, fill, dropped, dropped_set):
        """Write the tag of one way where it is filled, dropped or replaced."""
        filled, one = self.fill_translation, self.at_hand
        # The page at hand is replaced, in whatever size; and a global page is found under every
        # PCID, so that it replaces the entries of them all.
        replaced = Signal(name=f"replaced_{number}")
        m.d.comb += [
            replaced.eq(self.fill & one.far[number] & (
                one.near[number] | (one.same_near[number] & filled.global_page))),
            write.addr.eq(Mux(self.busy, dropped_set, one.set)),
            write.en.eq(fill | dropped | replaced),
            write.data.valid.eq(fill),
            write.data.vpn.eq(_told_apart(self._config, self.inner.vpn)),
            write.data.pcid.eq(self.inner.pcid),
            write.data.global_page.eq(filled.global_page),
            write.data.dirty.eq(filled.dirty),
            write.data.rights.eq(filled.rights),
        ]

    def _replace(self, m, match, filled, cleared):
        """Return the way that a fill goes to, one-hot, and keep the replacement policy's state.

        Without a miss file a page is at hand long before it is filled: what it replaces is chosen a
        cycle ahead then, and what is used is noted a cycle later.
        """
        ways, one = self._config.ways, self.at_hand
        m.submodules.policy = policy = SET_POLICIES[self._config.policy](ways)
        chosen, is_small, victim = Signal(ways), match.any(), Signal.like(policy.victim)
        with m.If(is_small):
            m.d.comb += chosen.eq(match)
        with m.Elif(one.vacant.any()):
            m.d.comb += chosen.eq(one.vacant & -one.vacant)
        with m.Else():
            m.d.comb += chosen.eq(1 << victim)
        touched, touched_way = Signal(), Signal(ways, reset_less=True)
        touched_set = Signal.like(one.set, reset_less=True)
        m.d[self._pace] += [touched.eq(self.touch & is_small), touched_way.eq(match),
                            touched_set.eq(one.set)]
        m.d.comb += [
            policy.filled.eq(filled),
            policy.way.eq(encode(Mux(filled, chosen, touched_way))),
        ]
        if len(policy.state):
            m.submodules.states = states = memory.Memory(
                shape=len(policy.state), depth=self._config.sets, init=[])
            ahead, read = states.read_port(domain="comb"), states.read_port(domain="comb")
            write = states.write_port()
            m.submodules.chooser = chooser = SET_POLICIES[self._config.policy](ways)
            m.d.comb += [
                ahead.addr.eq(one.set),
                chooser.state.eq(ahead.data),
                read.addr.eq(Mux(filled, one.set, touched_set)),
                policy.state.eq(read.data),
                write.addr.eq(Mux(cleared, self.found.set, read.addr)),
                write.en.eq(cleared | filled | touched),
                write.data.eq(Mux(cleared, 0, policy.after)),
            ]
        else:
            chooser = policy
        m.d[self._pace] += victim.eq(chooser.victim)
        return chosen

    def _tell(self, m, match, small, large):
        """Tell what is known of the page at hand: of the small one, or else of the large one."""
        one, is_small = self.at_hand, match.any()
        m.d.comb += [
            self.present.eq(is_small | large.present),
            self.hit.eq(Mux(is_small, (match & ~one.unusable).any(), large.hit)),
            self.denied.eq(Mux(is_small, (match & one.denied).any(), large.denied)),
            self.key_denied.eq(
                Mux(is_small, (match & one.key_denied).any(), large.key_denied)),
            self.fine.eq(Mux(is_small, (match & one.fine).any(), large.fine)),
            self.translation.eq(large.translation),
        ]
        with m.If(is_small):
            chosen = 0
            for number, translation in enumerate(small):
                value = translation.as_value()
                chosen |= value & match[number].replicate(len(value))
            m.d.comb += self.translation.eq(chosen)
