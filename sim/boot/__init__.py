"""Recorded boots of Linux: the accesses of a whole machine in order, and their replay."""
