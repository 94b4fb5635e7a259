"""What the kernel puts on the stack of a 64-bit program before it calls a handler.

[setup_rt_frame and restore_sigcontext in arch/x86/kernel/signal.c; struct rt_sigframe]
"""

from ...model.kernel.tasks.signal_info import SignalInfo
from ...model.kernel.tasks.signal_rules import SigAction, SigFlag
from ...model.kernel.tasks.task import AltStack, Task
from .call_context import CallContext
from .fp_state import FXSAVE_BYTES, load_fxsave, pack_fxsave

__all__ = ["handler_stack", "load_frame", "store_frame"]

RED_ZONE = 128
REGISTERS = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx",
             "rdx", "rax", "rcx", "rsp", "rip", "eflags")
SEGMENTS = (0x33, 0, 0, 0x2B)  # CS, GS, FS, SS
UC_FLAGS = 6  # UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
STACK_AT, CONTEXT_AT, MASK_AT, INFO_AT, FRAME_BYTES = 24, 48, 304, 312, 440
FPSTATE_AT = CONTEXT_AT + 8 * len(REGISTERS) + 8 + 32
DF, RF, TF = 1 << 10, 1 << 16, 1 << 8
RESTORED_FLAGS = 0x5_0DD5  # CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC


def handler_stack(task: Task, action: SigAction, sp: int, red_zone: int) -> int:
    """Return where the stack of a handler begins. [get_sigframe]"""
    stack = task.alt_stack
    if action.flags & SigFlag.ONSTACK and stack.size and not stack.holds(sp):
        return stack.start + stack.size
    return sp - red_zone


def store_frame(context: CallContext, info: SignalInfo, action: SigAction, mask: int) -> None:
    """Store a frame, and have the handler run next; raise ``SysError(EFAULT)``."""
    cpu, stack = context.cpu, context.task.alt_stack
    sp = handler_stack(context.task, action, cpu.sp, RED_ZONE)
    fpstate = sp - FXSAVE_BYTES & -64
    frame = (fpstate - FRAME_BYTES & -16) - 8
    words = [cpu.read(register) for register in REGISTERS]
    machine = (context.pack(*words) + b"".join(one.to_bytes(2, "little") for one in SEGMENTS)
               + context.pack(info.error, info.trap, mask, info.fault_address, fpstate))
    user = (context.pack(UC_FLAGS, 0, stack.start, stack.flags & 0xFFFF_FFFF, stack.size)
            + machine.ljust(256, b"\0") + mask.to_bytes(8, "little"))
    context.store(fpstate, pack_fxsave(cpu, context.word_bytes))
    context.store(frame, context.pack(action.restorer) + user + info.pack(context.word_bytes))
    cpu.write("rdi", info.number)
    cpu.write("rax", 0)
    cpu.write("rsi", frame + INFO_AT)
    cpu.write("rdx", frame + 8)
    cpu.write("eflags", words[-1] & ~(DF | RF | TF))
    cpu.pc, cpu.sp = action.handler, frame


def load_frame(context: CallContext) -> int:
    """Load the registers from a frame, and the stack for handlers; return the mask.

    Raise ``SysError(EFAULT)``.
    """
    cpu = context.cpu
    frame = cpu.sp - 8
    data = context.load(frame, FRAME_BYTES)
    words = context.words(data)
    at = CONTEXT_AT // 8
    fpstate = words[FPSTATE_AT // 8]
    if fpstate:
        load_fxsave(cpu, context.load(fpstate, FXSAVE_BYTES), context.word_bytes)
    for register, value in zip(REGISTERS, words[at : at + len(REGISTERS)], strict=True):
        if register == "eflags":
            value = cpu.read("eflags") & ~RESTORED_FLAGS | value & RESTORED_FLAGS
        cpu.write(register, value)
    start, flags, size = words[STACK_AT // 8 : STACK_AT // 8 + 3]
    context.task.alt_stack = AltStack(start, size, flags & 0xFFFF_FFFF)
    return words[MASK_AT // 8]
