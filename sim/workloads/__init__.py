"""Workloads: what processes load, store and call, and what they must find."""
