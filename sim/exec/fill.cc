// Fills of an emulator's soft TLB, and its instructions, translated by the compiled hardware.
//
// The emulator is Unicorn. Nothing of it is included or linked, as it is under the GPL: what is
// called of it comes as pointers at run time, and its hooks are given pointers to the functions
// below with a `Fills` as their last argument.
//
// layout.h, made by compiled_fills.py, has the structures that Python shares, and numbers by the
// names that they have there. `mmu_run` is that of harness.cc; a run has one command.

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>
#include <unistd.h>

namespace {

#include "layout.h"
#include "record.h"

using MmuRun = int (*)(void *hardware, void *batch);
using EmuStop = int (*)(void *emulator);
using EmuControl = int (*)(void *emulator, int control, ...);
using RegRead = int (*)(void *emulator, int number, void *value);
using RegWrite = int (*)(void *emulator, int number, const void *value);

// What the emulator keeps of a page; `uc_tlb_entry` has the same members.
struct SoftEntry {
    uint64_t paddr;
    uint32_t perms;
};

// A block of translated code; `uc_tb` has the same members.
struct Block {
    uint64_t pc;
    uint16_t instructions, bytes;
};

// What was granted on a page since the soft TLB was emptied.
struct Grant {
    uint64_t page, row, epoch;
    uint32_t perms;
};

// By which page code of a frame was translated, and by which it may be written to in an epoch.
struct Use {
    uint64_t code_page, written_page, epoch;
};

const uint64_t SEVERAL = ~uint64_t{0};  // pages
const unsigned GRANT_COUNT = 1 << 12;
const unsigned BLOCK_COUNT = 1 << 14;
const unsigned LOOKING = 1, FOUND = 2;

struct State {
    Grant grants[GRANT_COUNT];  // by the low bits of the page number
    uint64_t block_keys[BLOCK_COUNT];
    uint32_t block_lengths[BLOCK_COUNT];
    std::unordered_map<uint64_t, uint32_t> lengths;  // instructions of a block, by its key
    std::vector<Use> uses;  // by a frame's row
    unsigned opcode;  // of the instruction under way, if each is looked at
};

State &state_of(Fills &fills) { return *static_cast<State *>(fills.state); }

// Note why the run ends; the first reason counts, as a block may go on to its end after it.
void note(Fills &fills, unsigned reason) {
    if (fills.stop == STOP_NONE)
        fills.stop = reason;
}

void stop(void *emulator, Fills &fills, unsigned reason) {
    note(fills, reason);
    reinterpret_cast<EmuStop>(fills.emu_stop)(emulator);
}

// Have the hardware translate an access; set the frame's row in memory, or why there is none.
// `flags` are for the record of it.
bool translate(Fills &fills, uint64_t vaddr, unsigned kind, uint64_t &row, unsigned flags) {
    Command &command = *static_cast<Command *>(fills.command);
    Answer &answer = *static_cast<Answer *>(fills.answer);
    Batch &batch = *static_cast<Batch *>(fills.batch);
    command.vaddr_ = vaddr & fills.vaddr_mask;
    command.kind_ = kind;
    command.port_ = kind == FETCH ? fills.fetch_port : fills.data_port;
    fills.vaddr = command.vaddr_;
    fills.kind = kind;
    answer = Answer{};
    batch.count = 1;
    batch.row = batch.cycle = batch.stopped = 0;
    const int status = reinterpret_cast<MmuRun>(fills.mmu_run)(fills.hardware, &batch);
    batch.first_cycle += batch.cycle;
    fills.cycles += batch.cycle;
    ++fills.translations;
    if (status != DONE) {
        note(fills, STOP_FAILED);
        fills.status = status;
        return false;
    }
    if (!record(fills, fills.vaddr, kind, flags | (answer.fault_ ? REFUSED : 0))) {
        note(fills, STOP_FAILED);
        return false;
    }
    if (answer.fault_) {
        ++fills.faults;
        note(fills, STOP_FAULT);
        return false;
    }
    const uint64_t pfn = answer.paddr_ / PAGE_BYTES;
    const uint64_t *pfns = static_cast<const uint64_t *>(batch.frames.pfns);
    const uint64_t *end = pfns + batch.frames.count;
    const uint64_t *found = std::lower_bound(pfns, end, pfn);
    if (found == end || *found != pfn) {
        note(fills, STOP_NO_MEMORY);
        return false;
    }
    row = static_cast<const uint32_t *>(batch.frames.rows)[found - pfns];
    return true;
}

unsigned char *frame(Fills &fills, uint64_t row) {
    const Batch &batch = *static_cast<const Batch *>(fills.batch);
    return static_cast<unsigned char *>(batch.frames.bytes) + row * PAGE_BYTES;
}

// Note that code of a frame is translated, so that Python watches what it writes there.
void note_code(Fills &fills, uint64_t row) {
    uint8_t &seen = static_cast<uint8_t *>(fills.executed)[row];
    if (!seen) {
        seen = 1;
        static_cast<uint32_t *>(fills.new_code)[fills.new_code_count++] = row;
    }
}

// Unite what is granted now with what was granted on the same page and frame.
uint32_t unite(Fills &fills, uint64_t vaddr, uint64_t row, uint32_t perms) {
    const uint64_t page = vaddr / PAGE_BYTES;
    Grant &grant = state_of(fills).grants[page % GRANT_COUNT];
    if (grant.page == page && grant.row == row && grant.epoch == fills.epoch)
        perms |= grant.perms;
    grant = {page, row, fills.epoch, perms};
    return perms;
}

// Return whether a frame may be used so. The emulator notices stores to code only by the page that
// the code was translated by: a frame that has code is not written to by another one.
bool usable(Fills &fills, uint64_t vaddr, uint64_t row, unsigned kind) {
    std::vector<Use> &uses = state_of(fills).uses;
    if (row >= uses.size())
        uses.resize(row + 1);
    Use &use = uses[row];
    const uint64_t page = vaddr / PAGE_BYTES;
    const bool executed = static_cast<uint8_t *>(fills.executed)[row];
    const bool written = use.epoch == fills.epoch;
    if (kind == FETCH) {
        if (written && use.written_page != page && !fills.shares_frames)
            return false;
        use.code_page = executed && use.code_page != page ? SEVERAL : page;
    } else if (kind == WRITE) {
        if (executed && use.code_page != page && !fills.shares_frames)
            return false;
        use.written_page = written && use.written_page != page ? SEVERAL : page;
        use.epoch = fills.epoch;
    }
    return true;
}

uint64_t block_key(uint64_t pc, uint64_t bytes) { return pc << 12 ^ bytes; }

unsigned block_place(uint64_t pc, uint64_t bytes) {
    return (pc ^ pc >> 14 ^ bytes << 3) % BLOCK_COUNT;
}

// Return the instructions of a block, 1 if it was never made known.
uint32_t length(State &state, uint64_t pc, uint64_t bytes) {
    const uint64_t key = block_key(pc, bytes);
    const unsigned place = block_place(pc, bytes);
    if (state.block_keys[place] == key && state.block_lengths[place])
        return state.block_lengths[place];
    const auto found = state.lengths.find(key);
    if (found == state.lengths.end())
        return 1;
    state.block_keys[place] = key;
    return state.block_lengths[place] = found->second;
}

// While an instruction is made again to see where its access is: a page that stands in for the one
// that is refused, and one for all that it writes. Return whether it is one of these.
bool stand_in(Fills &fills, uint64_t vaddr, unsigned kind, SoftEntry *result) {
    if (kind == fills.located_kind && (vaddr & fills.vaddr_mask) == fills.located_page)
        result->paddr = fills.located_paddr;
    else if (kind == WRITE)
        result->paddr = fills.waste_paddr;
    else
        return false;
    result->perms = kind == WRITE ? UC_PROT_WRITE : UC_PROT_READ;
    return true;
}

}  // namespace

#include "instructions.h"
#include "single_step.h"

extern "C" {

void *fills_create() { return new State{}; }

void fills_destroy(void *state) { delete static_cast<State *>(state); }

// Translate an access that is no instruction's; return the frame's row in memory, or -1.
int64_t fills_translate(void *data, uint64_t vaddr, uint32_t kind) {
    uint64_t row = 0;
    return translate(*static_cast<Fills *>(data), vaddr, kind, row, EXTRA)
        ? static_cast<int64_t>(row) : -1;
}

// Record the access of a command that was carried out elsewhere; return whether that went well.
int fills_record(void *data, const Command *commands, uint64_t count, uint32_t flags) {
    bool good = true;
    for (uint64_t at = 0; good && at < count; ++at)
        good = record(*static_cast<Fills *>(data), commands[at].vaddr_, commands[at].kind_, flags);
    return good;
}

// Write the records that are in the buffer; return whether that went well.
int fills_flush(void *data) { return flush_records(*static_cast<Fills *>(data)); }

// Hook UC_HOOK_TLB_FILL: the soft TLB lacks a right to a page.
bool fills_fill(void *, uint64_t vaddr, int type, void *result, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    const unsigned kind = type == UC_MEM_WRITE ? WRITE : type == UC_MEM_FETCH ? FETCH : READ;
    ++fills.fills;
    if (kind == READ && fills.own_page && (vaddr & fills.vaddr_mask) == fills.own_page) {
        *static_cast<SoftEntry *>(result) = {fills.own_paddr, UC_PROT_READ};
        return true;
    }
    if (fills.locating && stand_in(fills, vaddr, kind, static_cast<SoftEntry *>(result)))
        return true;
    uint64_t row = 0;
    if (!translate(fills, vaddr, kind, row, fills.locating ? EXTRA : 0))
        return false;
    if (!usable(fills, vaddr, row, kind)) {
        note(fills, STOP_SHARED_FRAME);
        return false;
    }
    if (kind == FETCH)
        note_code(fills, row);
    const uint64_t granted[] = {fills.read_grants, fills.write_grants, fills.fetch_grants};
    *static_cast<SoftEntry *>(result) = {
        row * PAGE_BYTES, unite(fills, vaddr, row, static_cast<uint32_t>(granted[kind]))};
    return true;
}

// Hook UC_HOOK_MEM_READ and UC_HOOK_MEM_WRITE, while it is looked for where an access is: `paddr`
// is physical. One that goes on in the next page is taken to have come to the page that is refused.
void fills_access(void *, int, uint64_t paddr, int bytes, int64_t, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    const uint64_t place = paddr % PAGE_BYTES;
    if (fills.locating != LOOKING)
        return;
    if (paddr - place == fills.located_paddr)
        fills.located = place;
    else if (place + static_cast<uint64_t>(bytes) <= PAGE_BYTES)
        return;
    fills.locating = FOUND;
}

// Hook UC_HOOK_INTR: an exception, or INT n, of which `rip` is behind the instruction.
void fills_interrupt(void *emulator, uint32_t vector, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    if (vector == DEBUG && fills.each && !fills.trap)
        return step_over(emulator, fills);
    fills.vector = vector;
    stop(emulator, fills, STOP_INTERRUPT);
}

// Hooks UC_HOOK_INSN: the instructions that enter the kernel.
void fills_syscall(void *emulator, void *data) {
    stop(emulator, *static_cast<Fills *>(data), STOP_SYSCALL);
}

void fills_sysenter(void *emulator, void *data) {
    stop(emulator, *static_cast<Fills *>(data), STOP_SYSENTER);
}

// Hook UC_HOOK_EDGE_GENERATED: a block was translated.
void fills_edge(void *, Block *current, Block *, void *data) {
    State &state = state_of(*static_cast<Fills *>(data));
    const uint64_t key = block_key(current->pc, current->bytes);
    state.lengths[key] = current->instructions;
    state.block_lengths[block_place(current->pc, current->bytes)] = 0;
}

// Hook UC_HOOK_BLOCK: a block begins. With EFLAGS.TF it is one instruction.
void fills_block(void *emulator, uint64_t pc, uint32_t bytes, void *data) {
    Fills &fills = *static_cast<Fills *>(data);
    if (fills.instructions >= fills.limit)
        return stop(emulator, fills, STOP_LIMIT);
    if (fills.each) {
        state_of(fills).opcode = opcode_at(fills, pc, bytes);
        fills.flags = 0;
        reinterpret_cast<RegRead>(fills.reg_read)(
            emulator, static_cast<int>(fills.flags_register), &fills.flags);
    }
    // The rest of a block that a fault left was counted when the block began.
    if (pc != fills.left || pc + bytes != fills.left_end)
        fills.instructions += fills.each ? 1 : length(state_of(fills), pc, bytes);
    fills.left = 0;
    fills.block = pc;
    fills.block_end = pc + bytes;
}

}
