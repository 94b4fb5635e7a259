"""Other open MMUs, measured in the same way: what there is to compare with.

Their Verilog went through ``synth_ecp5`` of Yosys 0.70 and nextpnr-ecp5 0.11 for an LFE5U-85F of
speed grade 6, out of context, with a register at every port, router2, one seed, a target of 200
MHz. A tenth more or less is noise.
"""

from dataclasses import dataclass

__all__ = ["PEERS", "PEERS_DEVICE", "PEERS_ROUTER", "Peer"]


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
PEERS = (
    Peer("ao486: x86-32, 32 entries, walker", "github.com/MiSTer-devel/ao486_MiSTer",
         3883, 1792, 40.7),
    Peer("Coreblocks: Sv32, 16 + 16 entries, L2 of 128 x 8", "github.com/kuznia-rdzeni/coreblocks",
         7378, 2694, 39.6),
    Peer("Coreblocks: Sv39 and Sv48, the same", "github.com/kuznia-rdzeni/coreblocks",
         11917, 4746, None),
    Peer("CVA6: Sv39, 16 + 16 entries", "github.com/openhwgroup/cva6", 7565, 3386, 51.7),
    Peer("CVW: Sv32, 16 + 16 entries, walker", "github.com/openhwgroup/cvw", 3957, 2116, 43.2),
)
