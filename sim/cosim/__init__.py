"""Co-simulation: workloads whose accesses go through the MMU, with the kernel model behind."""
