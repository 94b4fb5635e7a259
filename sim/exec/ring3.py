"""How an emulator gets to CPL 3, with the segments and the floating-point state of Linux."""

from ...model.x86 import PAGE_BYTES
from .emulator import Emulator

__all__ = ["GDT_ADDRESS", "TLS_ENTRIES", "enter_ring3", "write_descriptor"]

GDT_ADDRESS = {True: 0xFFFF_FE00_0000_1000, False: 0xFF40_1000}
"""Where the GDT is, by whether there are 64 bits: in the kernel's half, in none of its areas."""

TLS_ENTRIES = {True: (12, 13, 14), False: (6, 7, 8)}
"""The entries that set_thread_area may write. [GDT_ENTRY_TLS_MIN]"""

GDT_BYTES = 16 * 8
CODE32, DATA32, CODE64 = 0x00CF_FB00_0000_FFFF, 0x00CF_F300_0000_FFFF, 0x00AF_FB00_0000_FFFF
DESCRIPTORS = {True: {4: CODE32, 5: DATA32, 6: CODE64}, False: {14: CODE32, 15: DATA32}}
"""The segments of user mode, flat. [arch/x86/include/asm/segment.h]"""

# What SYSRET makes CS and SS of: STAR[63:48] and 8 more, CS of 64 bits 16 more. [SDM, SYSRET]
STAR_SELECTOR = {True: 0x23, False: 0x73}
USER_DATA32 = 0x7B
CPUID = b"\x0f\xa2"
RDRAND, HYPERVISOR = 1 << 30, 1 << 31  # in ECX
SYSRET = {True: b"\x48\x0f\x07", False: b"\x0f\x07"}
MSR_EFER, MSR_STAR, EFER_SCE = 0xC000_0080, 0xC000_0081, 1 << 0

CODE, RETURN = 0x1000, 0x1800  # in a page that is there while SYSRET runs
EFLAGS = 1 << 9 | 1 << 1  # IF
CR0_NE, CR0_MP, CR0_EM, CR0_TS, CR0_WP = 1 << 5, 1 << 1, 1 << 2, 1 << 3, 1 << 16
CR4_OSFXSR, CR4_OSXMMEXCPT = 1 << 9, 1 << 10
MXCSR, FPCW = 0x1F80, 0x37F
UC_PROT_READ = 1


def enter_ring3(emulator: Emulator, is_long: bool) -> tuple[int, ...]:
    """Bring an emulator that has no hooks and no frames yet to CPL 3, all registers zero.

    Return what CPUID should answer to leaf 1 there, in EAX to EDX.
    """
    uc, register = emulator.uc, emulator.register
    for index, descriptor in DESCRIPTORS[is_long].items():
        write_descriptor(emulator, index, descriptor)
    cr0 = uc.reg_read(register("cr0")) & ~(CR0_EM | CR0_TS)
    uc.reg_write(register("cr0"), cr0 | CR0_NE | CR0_MP | CR0_WP)
    cr4 = uc.reg_read(register("cr4"))
    uc.reg_write(register("cr4"), cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT)
    features = _sysret(emulator, is_long)
    uc.reg_write(register("gdtr"), (0, GDT_ADDRESS[is_long], GDT_BYTES - 1, 0))
    if not is_long:  # a null selector in DS is #GP once a program saves and loads it
        uc.mem_map_ptr(GDT_ADDRESS[is_long], PAGE_BYTES, UC_PROT_READ, emulator.own_address)
        for segment in ("ds", "es"):
            uc.reg_write(register(segment), USER_DATA32)
        uc.mem_unmap(GDT_ADDRESS[is_long], PAGE_BYTES)
    uc.reg_write(register("mxcsr"), MXCSR)
    uc.reg_write(register("fpcw"), FPCW)
    uc.ctl_exits_enabled(True)  # of which there are none: no address ends a run
    return features


def _sysret(emulator: Emulator, is_long: bool) -> tuple[int, ...]:
    """Go to CPL 3 in the only way that makes all of the hidden state: by SYSRET.

    Ask CPUID before, and return what it says of leaf 1, without RDRAND.
    """
    uc, register = emulator.uc, emulator.register
    uc.mem_map(CODE, CODE)
    uc.mem_write(CODE, CPUID + SYSRET[is_long])
    uc.reg_write(register("eax"), 1)
    uc.emu_start(CODE, CODE + len(CPUID))
    ax, bx, cx, dx = (uc.reg_read(register(name)) for name in ("eax", "ebx", "ecx", "edx"))
    uc.msr_write(MSR_EFER, uc.msr_read(MSR_EFER) | EFER_SCE)
    uc.msr_write(MSR_STAR, STAR_SELECTOR[is_long] << 48)
    uc.reg_write(register("rcx" if is_long else "ecx"), RETURN)
    if is_long:
        uc.reg_write(register("r11"), EFLAGS)
    uc.emu_start(CODE + len(CPUID), RETURN)
    uc.mem_unmap(CODE, CODE)
    for name in ("rax", "rbx", "rcx", "rdx", "r11") if is_long else ("eax", "ebx", "ecx", "edx"):
        uc.reg_write(register(name), 0)
    uc.reg_write(register("eflags"), EFLAGS)
    return ax, bx, cx & ~(RDRAND | HYPERVISOR), dx


def write_descriptor(emulator: Emulator, index: int, descriptor: int) -> None:
    """Write an entry of the GDT; its accessed bit is set, so that no load writes it."""
    emulator.own_page[index * 8 : index * 8 + 8] = list(descriptor.to_bytes(8, "little"))
