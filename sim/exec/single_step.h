// Steps of one instruction by EFLAGS.TF, which the program must not see.
//
// Included by fill.cc, which translates.

namespace {

const unsigned PUSHF = 0x9C, POPF = 0x9D, IRET = 0xCF;
const unsigned DEBUG = 1, TRAP_FLAG = 1 << 8;

// Return the first byte of an instruction that is no prefix, 0 if there is none.
unsigned opcode(const unsigned char *code, uint64_t bytes, bool is_long) {
    for (uint64_t index = 0; index < bytes; ++index) {
        const unsigned byte = code[index];
        if (!std::strchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", static_cast<int>(byte)) &&
            !(is_long && byte >> 4 == 4))
            return byte;
    }
    return 0;
}

// Return the opcode of the instruction at an address of which the fetch was translated just now.
unsigned opcode_at(Fills &fills, uint64_t pc, uint64_t bytes) {
    const uint64_t page = pc / PAGE_BYTES, place = pc % PAGE_BYTES;
    const Grant &grant = state_of(fills).grants[page % GRANT_COUNT];
    if (grant.page != page || grant.epoch != fills.epoch)
        return 0;
    const unsigned char *code = frame(fills, grant.row) + place;
    return opcode(code, std::min(bytes, PAGE_BYTES - place), fills.is_long);
}

// Go on behind an instruction that the trap flag was set for: the program must not see the flag.
// As the soft TLB is empty then, all accesses of the next one are asked for, the fetch first.
void step_over(void *emulator, Fills &fills) {
    const auto read = reinterpret_cast<RegRead>(fills.reg_read);
    const auto write = reinterpret_cast<RegWrite>(fills.reg_write);
    const unsigned what = state_of(fills).opcode;
    uint64_t value = 0, row = 0;
    if (what == PUSHF) {
        read(emulator, static_cast<int>(fills.sp_register), &value);
        const uint64_t place = value + 1;  // of the byte that has the flag
        if (translate(fills, place & -PAGE_BYTES, WRITE, row, EXTRA))
            frame(fills, row)[place % PAGE_BYTES] &= ~(TRAP_FLAG >> 8);
    } else if (what == POPF || what == IRET) {
        read(emulator, static_cast<int>(fills.flags_register), &value);
        fills.trap = (value & TRAP_FLAG) != 0;  // it is the program's own from now on
        value |= TRAP_FLAG;
        write(emulator, static_cast<int>(fills.flags_register), &value);
    }
    ++fills.epoch;
    reinterpret_cast<EmuControl>(fills.emu_control)(emulator, static_cast<int>(fills.flush));
}

}  // namespace
