// The compiled hardware, and how its ports are set and read.
//
// This file is for CXXRTL: mmu.cc is what Yosys makes of the hardware. verilator_hardware.h takes its
// place for Verilator. glue.h, made by glue.py, knows the ports of the same MMU: it has the types
// Entry, Command and Answer, the functions that set and read the ports of a stream, and the numbers
// that Python has by the same names. Streams are numbered: request ports in their order, then
// INVALIDATE.

#pragma once

#include <cstddef>
#include <cstdint>

#include "mmu.cc"

namespace {

using Top = cxxrtl_design::p_mmu;

template <size_t Bits>
void put(cxxrtl::value<Bits> &port, uint64_t value) {
    port.set(Bits < 64 ? value & ((uint64_t{1} << Bits % 64) - 1) : value);
}

template <class Port>
uint64_t take(const Port &port) {
    return port.template get<uint64_t>();
}

#include "glue.h"

// The hardware. While nothing changes, neither inputs nor registers, it sleeps: cycles in which it
// only waits for memory cost next to nothing.
class Mmu {
public:
    Top top;

    Mmu() : loops_(!top.eval()) { top.commit(); }  // eval() says whether all wires have settled

    // Note that inputs are not as they were in the cycle before.
    void wake() { asleep_ = false; }

    // Let the outputs follow the inputs.
    void settle() {
        if (asleep_)
            return;
        // One evaluation at the clock edge gives the outputs before it, and what the registers
        // will hold after it. Only wires that feed back on each other have to settle beforehand.
        if (loops_)
            top.step();
        put(top.p_clk, 1);
        top.eval();
    }

    // Let the clock edge pass.
    void advance() {
        if (asleep_)
            return;
        put(top.p_clk, 0);
        // If no register changes, no output will until an input does.
        asleep_ = !top.commit();
    }

private:
    const bool loops_;
    bool asleep_ = false;
};

}  // namespace
