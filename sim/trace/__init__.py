"""Traces of accesses by their pages: the format that ``pagewalk exec --record`` writes."""
