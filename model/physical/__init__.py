"""Physical memory, as the machine and the kernel see it."""
