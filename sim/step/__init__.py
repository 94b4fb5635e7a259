"""The MMU in Amaranth's simulator, cycle by cycle, with what stands inside it."""
