"""Ways to make a memory image say what is not so."""

import numpy as np

from pagewalk.sim.image import UNMAPPED, ProbeFlag, ProbeRight


def first_where(condition):
    rows = np.flatnonzero(condition)
    assert len(rows)
    return int(rows[0])


def mapped_4k(arrays, rights=None, flags=0):
    """Return the first 4-Kbyte probe, all of it recorded, of these rights and with these flags."""
    recorded = arrays["probe_flags"] != 0xFFFF
    right = arrays["probe_eff"] == rights if rights is not None else arrays["probe_eff"] != 0xFF
    has = arrays["probe_flags"] & flags == flags
    return first_where((arrays["probe_size"] == 4096) & recorded & right & has)


def move_page(arrays):
    arrays["probe_pa"][mapped_4k(arrays)] ^= 1 << 20


def change_size(arrays):
    row = first_where((arrays["probe_size"] > 4096) & (arrays["probe_flags"] == 0xFFFF))
    arrays["probe_size"][row] = 4096


def grant_write(arrays):
    arrays["probe_eff"][mapped_4k(arrays, ProbeRight.READ | ProbeRight.USER)] |= ProbeRight.WRITE


def deny_write(arrays):
    arrays["probe_eff"][mapped_4k(arrays, 7)] &= ~np.uint8(ProbeRight.WRITE)


def grant_user(arrays):
    arrays["probe_eff"][mapped_4k(arrays, ProbeRight.READ | ProbeRight.WRITE)] |= ProbeRight.USER


def deny_user(arrays):
    arrays["probe_eff"][mapped_4k(arrays, ProbeRight.READ | ProbeRight.USER)] &= ~np.uint8(
        ProbeRight.USER)


def deny_fetch(arrays):
    executable = (arrays["probe_flags"] & ProbeFlag.X == 0) & (arrays["probe_size"] == 4096)
    row = first_where(executable & (arrays["probe_eff"] == (ProbeRight.READ | ProbeRight.USER)))
    arrays["probe_flags"][row] |= ProbeFlag.X


def change_write_through(arrays):
    arrays["probe_flags"][mapped_4k(arrays)] ^= ProbeFlag.T


def change_cache_disable(arrays):
    arrays["probe_flags"][mapped_4k(arrays)] ^= ProbeFlag.C


def change_pat(arrays):
    arrays["probe_flags"][mapped_4k(arrays)] ^= ProbeFlag.P


def map_a_hole(arrays):
    row = first_where(arrays["probe_pa"] == UNMAPPED)
    arrays["probe_pa"][row], arrays["probe_size"][row] = 0, 4096
