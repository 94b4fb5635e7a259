// What instructions do that are not left to the emulator: ports, the time, the processor's name.
//
// Included by fill.cc, which has `Fills` and what ends a run.

extern "C" {

// Hooks UC_HOOK_INSN of IN and OUT, which the emulator lets everybody use.
uint32_t fills_in(void *emulator, uint32_t, int, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    const auto read = reinterpret_cast<RegRead>(fills.reg_read);
    fills.port_pc = fills.port_ax = 0;
    read(emulator, static_cast<int>(fills.pc_register), &fills.port_pc);
    read(emulator, static_cast<int>(fills.ax_register), &fills.port_ax);
    stop(emulator, fills, STOP_PORT);
    return 0;
}

void fills_out(void *emulator, uint32_t port, int bytes, uint32_t, void *data) {
    fills_in(emulator, port, bytes, data);
}

// Hooks UC_HOOK_INSN of RDTSC and RDTSCP: time is the number of instructions, the same in each run.
int fills_rdtsc(void *emulator, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    const auto write = reinterpret_cast<RegWrite>(fills.reg_write);
    const uint64_t low = static_cast<uint32_t>(fills.instructions), high = fills.instructions >> 32;
    write(emulator, static_cast<int>(fills.ax_register), &low);
    write(emulator, static_cast<int>(fills.dx_register), &high);
    return 1;
}

int fills_rdtscp(void *emulator, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    const uint64_t processor = 0;
    reinterpret_cast<RegWrite>(fills.reg_write)(
        emulator, static_cast<int>(fills.cx_register), &processor);
    return fills_rdtsc(emulator, data);
}

// Hook UC_HOOK_INSN of CPUID: leaf 1 is told as it was found, without what is not the same in each
// run. Return whether that is all.
int fills_cpuid(void *emulator, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    const auto write = reinterpret_cast<RegWrite>(fills.reg_write);
    uint64_t leaf = 0;
    reinterpret_cast<RegRead>(fills.reg_read)(emulator, static_cast<int>(fills.ax_register), &leaf);
    if (static_cast<uint32_t>(leaf) != 1)
        return 0;
    write(emulator, static_cast<int>(fills.ax_register), &fills.cpuid_ax);
    write(emulator, static_cast<int>(fills.bx_register), &fills.cpuid_bx);
    write(emulator, static_cast<int>(fills.cx_register), &fills.cpuid_cx);
    write(emulator, static_cast<int>(fills.dx_register), &fills.cpuid_dx);
    return 1;
}

}
