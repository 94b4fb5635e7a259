// Page-table memory as the MMU meets it in each cycle; timed_memory.py does the same, draw for draw.

#pragma once

#include <algorithm>
#include <vector>

#include "hardware.h"

namespace {

// What memory_model.py says of the memory; `TimedModel` in harness_batch.py has the same members. Chances are
// what CHANCE_BITS bits of a draw are below. Cycles are numbered from the engine's first run on.
struct Model {
    uint64_t low_latency, high_latency;
    uint64_t request_stall, answer_stall, error_rate;
    const uint64_t *keys;  // by purpose; each port has one for itself
};

// A bus error by chance: when the MMU took the response, and the address of the access.
struct BusError {
    uint64_t cycle, paddr;
};

// Frames in the order of numpy, with one more that is all zeros behind them.
struct Frames {
    unsigned char *bytes;
    const uint64_t *pfns;  // frame numbers, ascending
    const uint32_t *rows;  // for each of them, where it is in `bytes`
    uint64_t count;
    uint64_t zero_below;  // absent frames below this address read as zeros

    // Return the byte at a physical address, null where there is none that can be written.
    unsigned char *find(uint64_t address) const {
        const uint64_t pfn = address / FRAME_BYTES;
        const uint64_t *end = pfns + count;
        const uint64_t *found = std::lower_bound(pfns, end, pfn);
        if (found == end || *found != pfn)
            return nullptr;
        return bytes + rows[found - pfns] * FRAME_BYTES + address % FRAME_BYTES;
    }

    // Return the byte at a physical address, null where there is none that can be read.
    const unsigned char *find_to_read(uint64_t address) const {
        if (const unsigned char *byte = find(address))
            return byte;
        return address < zero_below ? bytes + count * FRAME_BYTES + address % FRAME_BYTES : nullptr;
    }

    // Return the page-table entry at a physical address, null where there is none to be read.
    const Entry *entry(uint64_t address) const {
        return reinterpret_cast<const Entry *>(find_to_read(address & -sizeof(Entry)));
    }

    // Store an entry; return whether there is memory for it.
    bool store(uint64_t address, uint64_t value) const {
        Entry *place = reinterpret_cast<Entry *>(find(address & -sizeof(Entry)));
        if (place)
            *place = static_cast<Entry>(value);
        return place;
    }
};

// Takes accesses to page tables, and keeps the responses until they are due. As the hardware asks
// for, a response comes before the access of the same walk's number is accepted that is TAG_COUNT
// behind its own: until then nothing is.
class TimedMemory {
public:
    std::vector<BusError> errors;  // those by chance in the run so far

    TimedMemory() { std::fill_n(taking_, INVALIDATE, true); }

    // Give the response that is due in this cycle, if any is. It is the one due first, of equals
    // the one asked for first, and stays until it is taken.
    void respond(Mmu &mmu, uint64_t cycle) {
        const bool due = choose(cycle);
        if (due || responding_)
            mmu.wake();
        put(mmu.top.p_memory__rsp__valid, due);
        responding_ = due;
        if (!due)
            return;
        const Response &response = waiting_.front();
        put(mmu.top.p_memory__rsp__tag, response.tag);
        put(mmu.top.p_memory__rsp__data, response.data);
        put(mmu.top.p_memory__rsp__exchanged, response.exchanged);
        put(mmu.top.p_memory__rsp__error, response.error);
    }

    // Say whether an access is accepted in this cycle, and of each port whether its answer is.
    void say_ready(Mmu &mmu, const Model &model, uint64_t cycle) {
        const bool stalled = model.request_stall &&
            happens(model.keys[REQUEST_STALL], cycle, model.request_stall);
        const bool accepting = !stalled && !owes_too_long();
        if (accepting != accepting_)
            mmu.wake();
        accepting_ = accepting;
        put(mmu.top.p_memory__req__ready, accepting);
        if (!model.answer_stall)
            return;
        for (unsigned port = 0; port < INVALIDATE; ++port) {
            const uint64_t key = model.keys[ANSWER_STALL + port];
            taking_[port] = !happens(key, cycle, model.answer_stall);
            accept_answer(mmu.top, port, taking_[port]);
        }
        mmu.wake();
    }

    // Accept no access, until it is said anew whether one is.
    void refuse(Top &top) {
        accepting_ = false;
        put(top.p_memory__req__ready, 0);
    }

    // Return whether a port's answer is taken in this cycle, if it is offered.
    bool takes_answer(unsigned port) const { return taking_[port]; }

    // Note that the response is taken, if it is.
    void note_response(const Top &top, uint64_t cycle) {
        if (!responding_ || !take(top.p_memory__rsp__ready))
            return;
        if (waiting_.front().by_chance)
            errors.push_back({cycle, waiting_.front().address});
        waiting_.erase(waiting_.begin());
    }

    // Do the page-table access that is offered, if any, and keep the response until it is due.
    void serve(const Top &top, const Model &model, const Frames &frames, uint64_t cycle) {
        if (!accepting_ || !take(top.p_memory__req__valid))
            return;
        uint64_t due = cycle + model.low_latency;
        if (const uint64_t more = model.high_latency - model.low_latency)
            due += draw(model.keys[LATENCY], cycle) % (more + 1);
        const uint64_t tag = take(top.p_memory__req__tag);
        Response response{due, accepted_[tag / TAG_COUNT]++, tag, 0, take(top.p_memory__req__address),
                          false, false, false};
        if (model.error_rate && happens(model.keys[ERROR], cycle, model.error_rate))
            response.error = response.by_chance = true;
        else
            access(top, frames, response);
        waiting_.push_back(response);
    }

private:
    struct Response {
        uint64_t due, number, tag, data, address;
        bool exchanged, error, by_chance;
    };

    // Return whether the next access must wait for the response to one long ago.
    bool owes_too_long() const {
        for (const Response &response : waiting_)
            if (accepted_[response.tag / TAG_COUNT] - response.number >= TAG_COUNT)
                return true;
        return false;
    }

    // Put the response to give in this cycle in front; return whether there is one.
    bool choose(uint64_t cycle) {
        if (waiting_.empty())
            return false;
        const auto sooner = [](const Response &a, const Response &b) { return a.due < b.due; };
        const auto first = std::min_element(waiting_.begin(), waiting_.end(), sooner);
        if (first->due > cycle)
            return false;
        first->due = 0;  // so that none that is asked for from now on comes before it
        std::rotate(waiting_.begin(), first, first + 1);
        return true;
    }

    static void access(const Top &top, const Frames &frames, Response &response) {
        const Entry *entry = frames.entry(response.address);
        if (!entry) {
            response.error = true;
            return;
        }
        const bool reads = take(top.p_memory__req__op) != COMPARE_EXCHANGE;
        if (PLAIN_WRITES && !reads) {
            response.error = !frames.store(response.address, take(top.p_memory__req__desired));
            return;
        }
        response.data = *entry;
        if (reads || *entry != take(top.p_memory__req__expected))
            return;
        response.exchanged = frames.store(response.address, take(top.p_memory__req__desired));
        response.error = !response.exchanged;
    }

    // Return 64 random bits for a cycle: SplitMix64 with `key` as its seed, at step `cycle`.
    static uint64_t draw(uint64_t key, uint64_t cycle) {
        uint64_t mixed = key + cycle * 0x9E3779B97F4A7C15u;
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
        return mixed ^ mixed >> 31;
    }

    static bool happens(uint64_t key, uint64_t cycle, uint64_t chance) {
        return draw(key, cycle) >> (64 - CHANCE_BITS) < chance;
    }

    std::vector<Response> waiting_;
    uint64_t accepted_[WALKERS] = {};  // accesses, by the number of the walk
    bool responding_ = false;
    bool accepting_ = true;
    bool taking_[INVALIDATE];
};

}  // namespace
