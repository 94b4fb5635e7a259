"""What ``pagewalk exec --follow`` prints: system calls, page faults and signals, a line each."""
