// The hardware as Verilator compiles it, and how its ports are set and read; see hardware.h, whose
// place this file takes for Verilator.
//
// wrapper.h, made by verilator.py, has the type Top, whose members are the ports.

#pragma once

#include <cstddef>
#include <cstdint>

#include "verilated.h"
#include "Vwrapper.h"

namespace {

template <class Word, unsigned Bits>
struct Port {
    Word &word;
};

template <class Word, unsigned Bits>
void put(const Port<Word, Bits> &port, uint64_t value) {
    port.word = static_cast<Word>(Bits < 64 ? value & ((uint64_t{1} << Bits % 64) - 1) : value);
}

template <class Word, unsigned Bits>
uint64_t take(const Port<Word, Bits> &port) {
    return port.word;
}

#include "wrapper.h"

#include "glue.h"

// The hardware. Its wrapper samples the inputs at the clock edge, which so is played with the inputs
// of the cycle that it begins: each cycle is evaluated once, not once for the inputs that change and
// once for the registers.
class Mmu {
public:
    Top top;

    // Note that inputs are not as they were in the cycle before. All cycles are played alike.
    void wake() {}

    // Let the clock edge of the cycle before pass, and the outputs follow the inputs.
    void settle() {
        put(top.p_clk, 1);
        top.verilated.eval();
        put(top.p_clk, 0);
        top.verilated.eval();
    }

    // End the cycle; its clock edge passes in the next `settle`.
    void advance() {}
};

}  // namespace
