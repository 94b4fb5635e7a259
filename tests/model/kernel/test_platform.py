"""Every paging mode has a platform, and its parts fit each other and the mode."""

import pytest

from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.platform import KERNEL_MODES, PLATFORMS
from pagewalk.model.x86 import Cr4

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)


def test_there_is_a_platform_for_every_mode():
    assert PLATFORMS.keys() == KERNEL_MODES.keys()


@every_mode
def test_the_parts_of_a_platform_fit_the_mode(mode):
    platform = PLATFORMS[mode.name]
    assert platform.user.mode == mode
    assert bool(platform.efer) == mode.has_execute_disable
    assert bool(platform.cr4 & Cr4.PSE) == mode.has_pse


@every_mode
def test_a_kernel_boots_with_what_its_platform_says(mode):
    kernel = Kernel.boot(mode, 2 << 20, pke=True)
    platform = PLATFORMS[mode.name]
    optional = kernel.control.cr4 & ~platform.cr4
    assert kernel.platform is kernel.state.platform is platform
    assert kernel.control.efer == platform.efer
    assert optional == (Cr4.SMAP | (Cr4.PCIDE if mode.has_pcids else 0)
                        | (Cr4.PKE if mode.has_protection_keys else 0))
    assert kernel.layout.area(platform.kernel_half).start == min(
        area.start for area in kernel.layout.areas if area.start >= kernel.layout.task_size
        and area.kind.name != "NON_CANONICAL")


def test_a_mode_without_1g_pages_has_the_same_platform():
    mode = KERNEL_MODES["x86_64"].without_1g_pages()
    assert Kernel.boot(mode, 2 << 20).platform is PLATFORMS["x86_64"]
