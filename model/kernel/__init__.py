"""What the kernel does with memory: reclaim and swap."""
