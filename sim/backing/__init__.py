"""Where translations of a trace come from: frames by the buddy allocator, page tables in them."""
