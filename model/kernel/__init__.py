"""The kernel: processes and their page tables, faults, fork, huge pages, reclaim, swap, OOM."""
