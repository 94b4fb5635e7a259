"""The standard table: what is measured to tell what each part and each feature costs."""

from ...hdl.config import Config
from .component import WHOLE, component_names
from .table_row import TableRow

__all__ = ["standard_rows"]


WHOLE_ROWS = {
    "x86_64, 16 + 16": "--entries 16",
    "x86_64, 16 + 16, 2 walk stages": "--entries 16 --walk-stages 2",
    "x86_64, 16 + 16 in sets of 2, 2 walk stages": "--entries 16 --ways 2 --walk-stages 2",
    "x86_64, 64 + 64 in sets of 4, L2, 4 walkers": (
        "--entries 64 --ways 4 --hit-latency 2 --l2-entries 1024 --walkers 4"),
    "x86_64, 16": "--entries 16 --ports data",
    "x86_64, 16, no walk cache": "--entries 16 --ports data --walk-cache 0",
    "la57, 16 + 16": "--mode la57 --entries 16",
    "ia32, 32": "--mode ia32 --entries 32 --ports data",
    "ia32, 32, 2 walk stages": "--mode ia32 --entries 32 --ports data --walk-stages 2",
    "ia32, 32 in sets of 2, 2 walk stages": (
        "--mode ia32 --entries 32 --ways 2 --ports data --walk-stages 2"),
    "ia32, 32, no walk cache": "--mode ia32 --entries 32 --ports data --walk-cache 0",
}
ROUTERS_SHOWN = (2, 1)


def standard_rows() -> list[TableRow]:
    """Return the rows: configurations with each router, then every component of one of them."""
    name, words = next(iter(WHOLE_ROWS.items()))
    components = component_names(Config(entries=16))
    return [
        *(TableRow(f"{whole}, router{router}", f"{options} --router {router}")
          for whole, options in WHOLE_ROWS.items() for router in ROUTERS_SHOWN),
        *(TableRow(f"{name}: {component} alone", f"{words} --component {component}")
          for component in components if component != WHOLE),
    ]
