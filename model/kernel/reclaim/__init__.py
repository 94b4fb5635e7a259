"""Reclaim: the LRU lists, and the order in which pages leave memory. [mm/vmscan.c]"""
