"""The MMU's timing in plain Python: every output of every port in every cycle.

It is written from the contract of ``hdl/mmu.py`` and docs/reference/timing.rst, with no part of the
hardware in it: ``MmuModel`` is to be equal to ``Mmu`` in each cycle, and tests hold it to that.
"""
