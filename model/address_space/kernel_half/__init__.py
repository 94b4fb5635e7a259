"""The kernel's half of the address space: where its areas lie, and what they map."""
