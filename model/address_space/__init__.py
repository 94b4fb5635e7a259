"""Address spaces: where everything lies, in the kernel's half and in a process's."""
