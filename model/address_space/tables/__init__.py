"""Page tables in physical memory, and what Linux stores in entries that are not present."""
