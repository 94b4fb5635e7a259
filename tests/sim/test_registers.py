import numpy as np
import pytest

from pagewalk.model.x86 import IA32, LA57, X86_64, Cr0, Cr4, Efer
from pagewalk.sim.registers import misfit

LONG = {"cr0": Cr0.PG, "cr4": Cr4.PAE | Cr4.PGE, "efer": Efer.LME | Efer.LMA | Efer.NXE}
FIVE = LONG | {"cr4": LONG["cr4"] | Cr4.LA57}
SHORT = {"cr0": Cr0.PG | Cr0.WP, "cr4": Cr4.PSE, "efer": Efer.NXE}


def registers(*rows):
    return {name: np.array([row[name] for row in rows], np.uint32) for name in LONG}


def test_registers_that_select_the_mode_fit():
    assert misfit(X86_64, registers(LONG, LONG)) is None
    assert misfit(LA57, registers(FIVE, FIVE)) is None
    assert misfit(IA32, registers(SHORT, SHORT, SHORT)) is None


@pytest.mark.parametrize(("mode", "sound", "name", "bit", "expected"), [
    (X86_64, LONG, "cr0", Cr0.PG, "PG set, as in x86_64 paging"),
    (X86_64, LONG, "cr4", Cr4.PAE, "PAE set, as in x86_64 paging"),
    (X86_64, LONG, "efer", Efer.LME, "LME set, as in x86_64 paging"),
    (X86_64, LONG, "efer", Efer.LMA, "LMA set, as in x86_64 paging"),
    (X86_64, LONG, "cr4", Cr4.LA57, "LA57 clear, as in x86_64 paging"),
    (LA57, FIVE, "cr4", Cr4.LA57, "LA57 set, as in la57 paging"),
    (LA57, FIVE, "cr4", Cr4.PAE, "PAE set, as in la57 paging"),
    (LA57, FIVE, "efer", Efer.LMA, "LMA set, as in la57 paging"),
    (IA32, SHORT, "cr0", Cr0.PG, "PG set, as in ia32 paging"),
    (IA32, SHORT, "cr4", Cr4.PAE, "PAE clear, as in ia32 paging"),
    (IA32, SHORT, "efer", Efer.LME, "LME clear, as in ia32 paging"),
    (IA32, SHORT, "efer", Efer.LMA, "LMA clear, as in ia32 paging"),
], ids=str)
def test_the_first_value_that_does_not_fit_is_told(mode, sound, name, bit, expected):
    wrong = sound | {name: sound[name] ^ bit}
    assert misfit(mode, registers(sound, sound, wrong, wrong)) == (name, 2, expected)
