"""Other open MMUs, measured in the same way: what there is to compare with.

Their Verilog went through ``synth_ecp5`` of Yosys 0.70 and nextpnr-ecp5 0.11 for an LFE5U-85F of
speed grade 6, out of context, with a register at every port, router2, one seed, a target of 200
MHz. A tenth more or less is noise.
"""

from dataclasses import dataclass

from .table_row import TableRow

__all__ = ["PEERS", "PEERS_DEVICE", "PEERS_ROUTER", "Peer", "peer_rows"]


@dataclass(frozen=True, slots=True)
class Peer:
    """One configuration of another MMU; ``fmax_mhz`` is None if it was not placed."""

    name: str
    source: str
    lut4: int
    ff: int
    fmax_mhz: float | None


PEERS_DEVICE = "ecp5-85k"
PEERS_ROUTER = 2
AO486 = "ao486: x86-32, 32 entries, walker"
COREBLOCKS = "Coreblocks: Sv32, 16 + 16 entries, L2 of 128 x 8"
CVA6 = "CVA6: Sv39, 16 + 16 entries"
CVW = "CVW: Sv32, 16 + 16 entries, walker"
PEERS = (
    Peer(AO486, "github.com/MiSTer-devel/ao486_MiSTer",
         3883, 1792, 40.7),
    Peer(COREBLOCKS, "github.com/kuznia-rdzeni/coreblocks",
         7378, 2694, 39.6),
    Peer("Coreblocks: Sv39 and Sv48, the same", "github.com/kuznia-rdzeni/coreblocks",
         11917, 4746, None),
    Peer(CVA6, "github.com/openhwgroup/cva6", 7565, 3386, 51.7),
    Peer(CVW, "github.com/openhwgroup/cvw", 3957, 2116, 43.2),
)

# Each beside the fastest of those with as many bits of address, and a second-level TLB or none if
# there is one. The largest has no other that is like it.
COMPARISONS = (
    TableRow("x86_64, 16 + 16", "--entries 16", CVA6),
    TableRow("x86_64, 16 + 16, 2 walk stages", "--entries 16 --walk-stages 2", CVA6),
    TableRow("x86_64, 16 + 16 in sets of 2, 2 walk stages",
             "--entries 16 --ways 2 --walk-stages 2", CVA6),
    TableRow("x86_64, 64 + 64 in sets of 4, L2 of 256 x 4, 4 walkers",
             "--entries 64 --ways 4 --hit-latency 2 --l2-entries 1024 --walkers 4", CVA6),
    TableRow("ia32, 32", "--mode ia32 --entries 32 --ports data", AO486),
    TableRow("ia32, 32 in sets of 2, 2 walk stages",
             "--mode ia32 --entries 32 --ways 2 --ports data --walk-stages 2", AO486),
    TableRow("ia32, 16 + 16", "--mode ia32 --entries 16", CVW),
    TableRow("ia32, 16 + 16 in sets of 2, L2 of 128 x 8, 2 walk stages",
             "--mode ia32 --entries 16 --ways 2 --l2-entries 1024 --l2-ways 8 --walk-stages 2",
             COREBLOCKS),
)


def peer_rows() -> list[TableRow]:
    """Return configurations of this MMU, each with the name of the peer that it is compared with.

    They are measured as the peers were, with one seed.
    """
    return [*COMPARISONS]
