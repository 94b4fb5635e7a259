"""Files of ``/proc`` of a machine that runs."""
