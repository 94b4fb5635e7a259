"""Ports, walkers and drops around the second-level TLB, in each cycle, and what they may see."""

from dataclasses import dataclass

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import PAGE_SHIFT, AccessKind, Cr0, Cr4, Efer

from .bench import plain
from .golden import access_fields, control_fields
from .l2_bench import plain_request
from .l2_reference import PAGE_BITS, usable

PATIENCE = 400
"""Cycles in which a request must be answered, if the walkers respond."""


@dataclass
class Step:
    """What happens in one cycle.

    ``request`` is an access and registers to offer, if the last one was taken; ``respond`` the
    number of a walk to answer, round the walks under way, with ``result``; ``drop`` a condition.
    """

    request: tuple[Access, Control] | None = None
    ready: bool = True
    respond: int | None = None
    result: dict | None = None
    drop: dict | None = None


@dataclass
class Held:
    """A translation that was entered, or may have been."""

    vpn: int
    pcid: int
    translation: dict
    dropped: int | None = None  # the cycle of the drop that it met


class World:
    """Carries out steps, and checks every answer.

    A hit must be a translation that a walk has found for a page with its address, that was not
    dropped in an earlier cycle, and that permits the access. Each request is answered once.
    """

    def __init__(self, ctx, dut, config):
        self.ctx, self.dut, self.config, self.mode = ctx, dut, config, config.mode
        self.cycle = 0
        self.offered = None  # (access, control, payload) that waits for `ready`
        self.lookups = {}  # (port, miss): (access, control, payload, cycle), neither hit nor walked
        self.walks = []  # [key, stale], in the order in which they began
        self.held = []
        self.number = 0
        self.counts = dict.fromkeys(
            ("hit", "walk", "drop", "event_hit", "event_miss", "event_lookup"), 0)

    async def step(self, step):
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.walkers.req.ready, step.ready)
        self._offer(step)
        responded = self._respond(step)
        dropping = step.drop is not None and not ctx.get(dut.busy)
        ctx.set(dut.drop, {**step.drop, "valid": 1} if dropping else {"valid": 0})
        self._look(responded)
        self._count_events()
        if dropping:
            self._drop(step.drop)
        if responded:
            self._enter(responded, dropping)
        await ctx.tick()
        self.cycle += 1

    def _offer(self, step):
        if self.offered is None and step.request is not None:
            port_count, misses = len(self.config.ports), self.config.misses
            for number in range(port_count * misses):
                place = (self.number + number) % (port_count * misses)
                key = place % port_count, place // port_count
                if key not in self.lookups and all(walk[0][0] != key for walk in self.walks):
                    break
            else:
                self.ctx.set(self.dut.walk.req.valid, 0)
                return
            self.number += 1
            access, control = step.request
            self.offered = access, control, {
                "port": key[0], "miss": key[1],
                "access": access_fields(access, self.number % 16),
                "control": control_fields(self.config, control)}
            self.ctx.set(self.dut.walk.req.payload, self.offered[2])
            self.ctx.set(self.dut.vpn, access.vaddr >> PAGE_SHIFT & (1 << len(self.dut.vpn)) - 1)
        self.ctx.set(self.dut.walk.req.valid, self.offered is not None)

    def _respond(self, step):
        """Offer the response to a walk, if one is under way; return the walk and its result."""
        walks = self.dut.walkers
        if step.respond is None or not self.walks:
            self.ctx.set(walks.rsp.valid, 0)
            return None
        walk = self.walks.pop(step.respond % len(self.walks))
        (port, miss), _, _ = walk[0]
        result = {"port": port, "miss": miss, "vector": 0, "error_code": 0, **step.result,
                  "stale": int(walk[1])}
        self.ctx.set(walks.rsp.payload, result)
        self.ctx.set(walks.rsp.valid, 1)
        return walk, result

    def _look(self, responded):
        """Check what is offered to the ports and the walkers in this cycle."""
        ctx, walk, walkers = self.ctx, self.dut.walk, self.dut.walkers
        assert ctx.get(walkers.rsp.ready)
        valid = ctx.get(walk.rsp.valid)
        if responded:
            assert valid
            assert plain(ctx.get(walk.rsp.payload)) == responded[1]
        elif valid:
            self._hit(plain(ctx.get(walk.rsp.payload)))
        if ctx.get(walkers.req.valid):
            payload = plain(ctx.get(walkers.req.payload))
            key = payload["port"], payload["miss"]
            access, control, asked, _ = self.lookups[key]
            assert payload == plain_request(asked)
            if ctx.get(walkers.req.ready):
                del self.lookups[key]
                self.walks.append([(key, access, control), False])
                self.counts["walk"] += 1
        for _, _, asked, since in self.lookups.values():
            assert self.cycle - since < PATIENCE, f"no answer to {asked}"
        if self.offered and ctx.get(walk.req.ready):
            key = self.offered[2]["port"], self.offered[2]["miss"]
            self.lookups[key] = (*self.offered, self.cycle)
            self.offered = None

    def _hit(self, response):
        access, control, _, _ = self.lookups.pop((response["port"], response["miss"]))
        assert not response["fault"]
        assert not response["stale"]
        translation = response["translation"]
        vpn = access.vaddr % (1 << self.mode.translated_bits) >> 12
        candidates = [held for held in self.held if held.translation == translation
                      and self.covers(held, vpn)
                      and (translation["global_page"] or held.pcid == control.cr3 & 0xFFF)]
        assert candidates, f"{translation} was never entered for {access} under {control}"
        assert any(held.dropped is None or held.dropped >= self.cycle for held in candidates), (
            f"{translation} was dropped in cycle {candidates[-1].dropped}, not {self.cycle}")
        assert usable(self.mode, translation, access, control)
        self.counts["hit"] += 1

    def covers(self, held, vpn):
        """Return whether the page that is held has the page number ``vpn`` in it."""
        shift = PAGE_BITS[self.mode.name][held.translation["page"]]
        return held.vpn >> shift == vpn >> shift

    def _drop(self, drop):
        self.counts["drop"] += 1
        for walk in self.walks:
            walk[1] = True
        for held in self.held:
            if held.dropped is not None or (
                    drop["by_address"] and not self.covers(held, drop["vpn"])):
                continue
            if (drop["globals"] if held.translation["global_page"]
                    else not drop["by_pcid"] or held.pcid == drop["pcid"]):
                held.dropped = self.cycle

    def _enter(self, responded, dropping):
        (_, access, control), _ = responded[0]
        result = responded[1]
        if not (result["fault"] or result["stale"] or dropping):
            vpn = access.vaddr % (1 << self.mode.translated_bits) >> 12
            self.held.append(Held(vpn, control.cr3 & 0xFFF, result["translation"]))

    def _count_events(self):
        events = plain(self.ctx.get(self.dut.events))
        self.counts["event_lookup"] += events["lookup"]
        self.counts["event_miss"] += events["miss"]
        self.counts["event_hit"] += sum(
            value for name, value in events.items() if name.startswith("hit_"))

    async def drain(self, result):
        """Answer all walks with ``result()``, and check that nothing is left."""
        for cycle in range(3 * PATIENCE):
            await self.step(Step(respond=0 if cycle % 3 == 0 else None, result=result()))
            if self.offered is None and not self.lookups and not self.walks:
                break
        await self.step(Step())
        assert not self.lookups
        assert not self.walks
        counts = self.counts
        assert counts["event_hit"] == counts["hit"]
        assert counts["event_miss"] == counts["walk"]
        assert counts["event_lookup"] == counts["hit"] + counts["walk"]


def registers(mode, pcid, *, nxe=True, write_protect=True):
    """Return the registers in force for an access under ``pcid``."""
    return Control(0x1234_5000 | pcid, Cr0.PG | (Cr0.WP if write_protect else 0),
                   Cr4.PAE | Cr4.PGE | (Cr4.PCIDE if mode.has_pcids else 0),
                   Efer.NXE if nxe else 0)


KINDS = (AccessKind.READ, AccessKind.WRITE, AccessKind.FETCH)
