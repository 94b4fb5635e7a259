"""What the kernel puts on the stack of a 32-bit program before it calls a handler.

[setup_frame, setup_rt_frame for CONFIG_X86_32; struct sigframe_ia32, struct rt_sigframe]
"""

from ...model.kernel.tasks.signal_info import SignalInfo
from ...model.kernel.tasks.signal_rules import SigAction, SigFlag
from ...model.kernel.tasks.task import AltStack
from .call_context import CallContext
from .cpu import Cpu
from .fp_state import FXSAVE_BYTES, load_fxsave, pack_fxsave
from .signal_frame import DF, RESTORED_FLAGS, RF, TF, handler_stack

__all__ = ["load_frame32", "load_rt_frame32", "store_frame32"]

GENERAL = ("edi", "esi", "ebp", "esp", "ebx", "edx", "ecx", "eax")
USER_CS, USER_DS = 0x73, 0x7B
FSAVE_BYTES = 112
CONTEXT_BYTES, FPSTATE_BYTES, INFO_BYTES = 88, 624, 128
RT_CONTEXT_AT = 16 + INFO_BYTES + 20
RT_MASK_AT = RT_CONTEXT_AT + CONTEXT_BYTES
RT_FRAME_BYTES = RT_MASK_AT + 16
FRAME_BYTES = 8 + CONTEXT_BYTES + FPSTATE_BYTES + 4 + 8
# movl $119 with a pop before it, and movl $173: sigreturn and rt_sigreturn
RETURN = b"\x58\xb8\x77\0\0\0\xcd\x80"
RT_RETURN = b"\xb8\xad\0\0\0\xcd\x80\0"


def store_frame32(context: CallContext, info: SignalInfo, action: SigAction, mask: int) -> None:
    """Store a frame, and have the handler run next; raise ``SysError(EFAULT)``."""
    cpu, stack = context.cpu, context.task.alt_stack
    is_rt = bool(action.flags & SigFlag.SIGINFO)
    sp = handler_stack(context.task, action, cpu.sp, 0)
    fpstate = (sp - FXSAVE_BYTES & -64) - FSAVE_BYTES
    size = RT_FRAME_BYTES if is_rt else FRAME_BYTES
    frame = ((fpstate - size + 4) & -16) - 4
    machine = _machine(context, info, fpstate, mask)
    at_code = frame + size - 8
    restorer = action.restorer if action.flags & SigFlag.RESTORER else at_code
    image = pack_fxsave(cpu, context.word_bytes)
    context.store(fpstate, _fsave(image) + image)
    info_at = user_at = 0
    if is_rt:
        info_at, user_at = frame + 16, frame + 16 + INFO_BYTES
        data = (context.pack(restorer, info.number, info_at, user_at)
                + info.pack(context.word_bytes)
                + context.pack(0, 0, stack.start, stack.flags, stack.size) + machine
                + mask.to_bytes(8, "little") + RT_RETURN)
    else:
        data = (context.pack(restorer, info.number) + machine + bytes(FPSTATE_BYTES)
                + context.pack(mask >> 32) + RETURN)
    context.store(frame, data)
    for register, value in (("eax", info.number), ("edx", info_at), ("ecx", user_at)):
        cpu.write(register, value)
    cpu.write("eflags", cpu.read("eflags") & ~(DF | RF | TF))
    cpu.pc, cpu.sp = action.handler, frame


def _machine(context: CallContext, info: SignalInfo, fpstate: int, mask: int) -> bytes:
    """Return ``struct sigcontext_32``."""
    cpu = context.cpu
    return context.pack(
        cpu.read("gs"), cpu.read("fs"), USER_DS, USER_DS, *map(cpu.read, GENERAL), info.trap,
        info.error, cpu.pc, USER_CS, cpu.read("eflags"), cpu.sp, USER_DS, fpstate, mask,
        info.fault_address)


def _fsave(image: bytes) -> bytes:
    """Return what FSAVE stores, and a status word behind it. [convert_from_fxsr]"""
    def number(at: int) -> int:
        return int.from_bytes(image[at : at + 2], "little")
    status, used = number(2), image[4]
    tags = sum((0 if used >> one & 1 else 3) << 2 * one for one in range(8))
    head = [number(0) | 0xFFFF_0000, status | 0xFFFF_0000, tags | 0xFFFF_0000, 0, 0, 0, 0]
    stack = b"".join(image[32 + 16 * one : 42 + 16 * one] for one in range(8))
    return b"".join(one.to_bytes(4, "little") for one in head) + stack + (
        status.to_bytes(2, "little") + bytes(2))


def load_frame32(context: CallContext) -> int:
    """Load the registers from the frame of a handler without SA_SIGINFO; return the mask."""
    frame = context.cpu.sp - 8
    data = context.load(frame, FRAME_BYTES)
    words = context.words(data)
    _restore(context, words[2 : 2 + CONTEXT_BYTES // 4])
    return words[2 + 20] | words[(8 + CONTEXT_BYTES + FPSTATE_BYTES) // 4] << 32


def load_rt_frame32(context: CallContext) -> int:
    """Load the registers from the frame of a handler with SA_SIGINFO; return the mask."""
    frame = context.cpu.sp - 4
    words = context.words(context.load(frame, RT_FRAME_BYTES))
    first = RT_CONTEXT_AT // 4
    _restore(context, words[first : first + CONTEXT_BYTES // 4])
    start, flags, size = words[first - 3 : first]
    context.task.alt_stack = AltStack(start, size, flags)
    return words[RT_MASK_AT // 4] | words[RT_MASK_AT // 4 + 1] << 32


def _restore(context: CallContext, words: list[int]) -> None:
    """Load registers from ``struct sigcontext_32``; the segments stay. [restore_sigcontext]"""
    cpu, fpstate = context.cpu, words[19]
    if fpstate:
        _restore_fp(cpu, context.load(fpstate, FSAVE_BYTES + FXSAVE_BYTES), context.word_bytes)
    for register, value in zip(GENERAL, words[4:12], strict=True):
        cpu.write(register, value)
    cpu.pc = words[14]
    cpu.write("eflags", cpu.read("eflags") & ~RESTORED_FLAGS | words[16] & RESTORED_FLAGS)


def _restore_fp(cpu: Cpu, data: bytes, word_bytes: int) -> None:
    """Load x87 as FSAVE has it, and SSE as FXSAVE does. [convert_to_fxsr]"""
    image = bytearray(data[FSAVE_BYTES:])
    image[0:2], image[2:4] = data[0:2], data[4:6]
    tags = int.from_bytes(data[8:10], "little")
    image[4] = sum(1 << one for one in range(8) if tags >> 2 * one & 3 != 3)
    for one in range(8):
        image[32 + 16 * one : 42 + 16 * one] = data[28 + 10 * one : 38 + 10 * one]
    load_fxsave(cpu, bytes(image), word_bytes)
