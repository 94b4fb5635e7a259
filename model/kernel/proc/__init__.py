"""Files of ``/proc/PID`` whose figures come from page tables."""
