"""Between the golden walk and the ports of the hardware: the same things in the words of both."""

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import AccessKind, Cr0, Cr3, Cr4, Efer, Entry, Purpose

from .bench import plain


def control_fields(config, control):
    """Return the ``control`` port for the registers of a golden ``Control``."""
    return {
        "root": control.cr3 >> 12 & (1 << config.root_bits) - 1,
        "pcid": control.cr3 & Cr3.PCID,
        "wp": bool(control.cr0 & Cr0.WP),
        "pg": bool(control.cr0 & Cr0.PG),
        "pse": bool(control.cr4 & Cr4.PSE),
        "pge": bool(control.cr4 & Cr4.PGE),
        "pcide": bool(control.cr4 & Cr4.PCIDE),
        "smep": bool(control.cr4 & Cr4.SMEP),
        "smap": bool(control.cr4 & Cr4.SMAP),
        "pke": bool(control.cr4 & Cr4.PKE),
        "nxe": bool(control.efer & Efer.NXE) and config.mode.has_execute_disable,
        "pkru": control.pkru,
    }


def access_fields(access, tag=0):
    """Return the request for a golden ``Access``."""
    flags = {name: getattr(access, name) for name in ("user", "implicit", "ac", "stack")}
    if access.purpose:
        flags["purpose"] = access.purpose.value
    if access.size > 1:
        flags["size"] = access.size
    return {"vaddr": access.vaddr, "kind": access.kind.value, "tag": tag, **flags}


def translation_fields(config, walked, control):
    """Return the TLB's translation for a golden ``Walk`` that did not fault."""
    entries = [step.updated for step in walked.steps]
    leaf, mode = entries[-1], config.mode
    return {
        "frame": (walked.paddr & -walked.page.page_bytes) >> 12,
        "page": mode.pages.index(walked.page),
        "rights": {
            "writable": int(all(entry & Entry.RW for entry in entries)),
            "user": int(all(entry & Entry.US for entry in entries)),
            "execute_disable": int(
                mode.has_execute_disable and any(entry & Entry.XD for entry in entries)),
            "key": leaf >> 59 & 0xF if mode.has_protection_keys else 0,
        },
        "memory_type": walked.memory_type,
        "dirty": int(bool(leaf & Entry.D)),
        "global_page": int(bool(leaf & Entry.G and control.cr4 & Cr4.PGE)),
    }


def response_fields(config, walked, tag=0):
    """Return the port's response for a golden ``Walk``."""
    fault = walked.fault
    told = fault if walked.access.purpose <= Purpose.CHECK else None
    return {
        "tag": tag,
        "paddr": 0 if fault else walked.paddr,
        "page": config.mode.pages.index(walked.page) if walked.page and not fault else 0,
        "memory_type": 0 if fault else walked.memory_type,
        "fault": int(fault is not None),
        "vector": told.vector.value if told else 0,
        "error_code": told.error_code if told else 0,
        "vaddr": told.vaddr if told else 0,
        **(right_fields(config.mode, walked) if config.rights else {}),
    }


def sized_response_fields(config, crossing, tag=0):
    """Return the port's response for a golden ``Crossing``."""
    first, second = crossing.first, crossing.second
    if crossing.fault or not second:
        shown = response_fields(config, second or first, tag)
        names = ("paddr", "page", "memory_type", *(
            right_fields(config.mode, second or first) if config.rights else ()))
        return {**shown, "second": dict.fromkeys(names, 0)}
    fields = response_fields(config, second)
    told = ("tag", "fault", "vector", "error_code", "vaddr")
    return {**response_fields(config, first, tag),
            "second": {name: value for name, value in fields.items() if name not in told}}


def right_fields(mode, walked):
    """Return the rights in the port's response for a golden ``Walk``."""
    rights = walked.rights
    fields = {"writable": rights.writable, "user": rights.user_page, "dirty": walked.dirty,
              "global_page": walked.global_page}
    if mode.has_execute_disable:
        fields["execute_disable"] = rights.execute_disable
    if mode.has_protection_keys:
        fields["key"] = rights.key
    return {name: 0 if walked.fault else int(value) for name, value in fields.items()}


def golden_request(request):
    """Return the golden ``Access`` and ``Control`` of a walk request."""
    fields, state = request["access"], request["control"]
    flags = {name: bool(fields[name]) for name in ("user", "implicit", "ac", "stack")}
    cr4_bits = {"pse": Cr4.PSE, "pge": Cr4.PGE, "pcide": Cr4.PCIDE, "smep": Cr4.SMEP,
                "smap": Cr4.SMAP, "pke": Cr4.PKE, "nxe": Cr4.PAE}
    control = Control(
        cr3=state["root"] << 12 | state["pcid"], cr0=state["pg"] * Cr0.PG | state["wp"] * Cr0.WP,
        cr4=sum(bit for name, bit in cr4_bits.items() if state[name]),
        efer=state["nxe"] * Efer.NXE, pkru=state["pkru"])
    return Access(fields["vaddr"], AccessKind(fields["kind"]), **flags), control


class GoldenWalker:
    """Answers walk requests with the golden walk; ``serve`` is a background testbench.

    ``delay()`` is asked, before and after each request, after how many cycles to go on.
    ``requests`` has each request as it came, ``walks`` its golden ``Access``. Responses are marked
    as ``stale`` says.
    """

    def __init__(self, config, port, memory, delay):
        self.config = config
        self.port = port
        self.memory = memory
        self.delay = delay
        self.requests = []
        self.walks = []
        self.stale = False

    async def serve(self, ctx):
        req, rsp = self.port.req, self.port.rsp
        while True:
            await self._wait(ctx)
            ctx.set(req.ready, 1)
            asked, payload = 0, None
            while not asked:
                _, _, asked, payload = await ctx.tick().sample(req.valid, req.payload)
            ctx.set(req.ready, 0)
            await self._wait(ctx)
            ctx.set(rsp.payload, self._walked(plain(payload)))
            ctx.set(rsp.valid, 1)
            taken = 0
            while not taken:
                _, _, taken = await ctx.tick().sample(rsp.ready)
            ctx.set(rsp.valid, 0)

    async def _wait(self, ctx):
        for _ in range(self.delay() - 1):
            await ctx.tick()

    def _walked(self, request):
        """Return the response to a request."""
        access, control = golden_request(request)
        self.requests.append(request)
        self.walks.append(access)
        walked = walk(self.memory, self.config.mode, control, access, self.config.paddr_bits)
        asker = {"port": request["port"], "miss": request["miss"]}
        if walked.fault:
            return asker | {"fault": 1, "vector": walked.fault.vector,
                            "error_code": walked.fault.error_code}
        return asker | {"stale": self.stale,
                "translation": translation_fields(self.config, walked, control)}
