"""All mappings of an address space: what page tables map, listed as ptdump and QEMU list it."""
