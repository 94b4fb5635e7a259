"""Swap: areas in files that ``mkswap`` has made, their slots, and the pages that have one."""
