"""The hardware: TLBs, the page-table walker and the whole MMU, in Amaranth."""
