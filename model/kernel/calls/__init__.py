"""Between processes and kernel: system calls, open files, copies of user memory."""
