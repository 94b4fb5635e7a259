// Drives a compiled MMU through batches of commands, cycle for cycle as amaranth.py does.
//
// mmu.cc is what Yosys makes of the hardware. glue.h, made by cxxrtl.py, knows the ports of the
// same MMU: it has the types Top, Entry, Command and Answer, the functions that set and read the
// ports of a stream, and the numbers that Python has by the same names: the operations OP_* and
// what a run returns, DONE, STALLED or UNASKED. Streams are numbered: request ports in their
// order, then INVALIDATE.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>

#include "mmu.cc"

namespace {

template <size_t Bits>
void put(cxxrtl::value<Bits> &port, uint64_t value) {
    port.set(Bits < 64 ? value & ((uint64_t{1} << Bits % 64) - 1) : value);
}

template <class Port>
uint64_t take(const Port &port) {
    return port.template get<uint64_t>();
}

#include "glue.h"

// Arguments and results of one run; `_Batch` in cxxrtl.py has the same members.
struct Batch {
    const Command *commands;
    Answer *answers;  // all zero at first
    uint64_t count;   // of commands, and of answers; up to the fault that stopped the run
    unsigned char *frames;
    const uint64_t *pfns;  // frame numbers, ascending
    const uint32_t *rows;  // for each of them, where it is in `frames`
    uint64_t frame_count;
    uint64_t latency;
    uint64_t stall_limit;
    uint64_t stop_on_fault;
    uint64_t stopped;  // whether a fault did so, 0 at first
    uint64_t *events;  // a counter for each event, all zero at first
    uint64_t cycle;    // cycles played, 0 at first
    uint64_t row;      // the command whose turn it is, 0 at first
};

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

// One run: plays all that surrounds the hardware, as software, other processors and memory.
class Job {
public:
    Job(Mmu &mmu, Batch &batch) : mmu_(mmu), top_(mmu.top), batch_(batch) {}

    // Play cycles until the run has ended; return DONE, STALLED or UNASKED.
    //
    // The order within a cycle is part of the timing that amaranth.py shares. Inputs are set from
    // what earlier cycles brought; the outputs that follow are looked at before the clock edge.
    // The MMU's own memory access comes before that of another processor in accept(), and an
    // answer is collected before the next command is accepted, so that data commands, which wait
    // for other ports to have answered, are in order.
    int run() {
        rest();
        while (batch_.row < batch_.count || answers_due_ > 0) {
            drive();
            mmu_.settle();
            count_events(top_, batch_.events);
            serve();
            if (!collect())
                return UNASKED;
            accept();
            mmu_.advance();
            ++batch_.cycle;
            if (batch_.cycle - progress_ > batch_.stall_limit)
                return STALLED;
        }
        return DONE;
    }

private:
    struct Response {
        uint64_t cycle, tag, data;
        bool exchanged, error;
    };

    // Play a cycle in which nothing is offered, so that the MMU does not take what the run before
    // offered last for a new request. It is not counted.
    void rest() {
        accept_outputs(top_);
        offer_nothing(top_);
        put(top_.p_memory__rsp__valid, 0);
        mmu_.wake();
        mmu_.settle();
        mmu_.advance();
    }

    // Set the inputs of the cycle that begins: a memory response that is due, and, if the turn of
    // the command `row` begins now, what it offers. The offer stays until it is accepted.
    void drive() {
        respond();
        if (started_)
            return;
        mmu_.wake();
        offer_nothing(top_);
        if (batch_.row >= batch_.count || must_wait(batch_.commands[batch_.row]))
            return;
        started_ = true;
        start_ = batch_.cycle;
        const Command &command = batch_.commands[batch_.row];
        if (!is_access(command) && command.op_ != OP_INVALIDATE)
            return;
        stream_ = is_access(command) ? command.port_ : INVALIDATE;
        put_control(top_, command);
        offer(top_, stream_, command, batch_.row);
    }

    static bool is_access(const Command &command) {
        return command.op_ == OP_ACCESS || command.op_ == OP_DATA;
    }

    // Return whether other ports have to answer before it is the turn of a command.
    bool must_wait(const Command &command) const {
        if (!batch_.stop_on_fault && command.op_ != OP_DATA)
            return false;
        return answers_due_ > (is_access(command) ? due_[command.port_].size() : 0);
    }

    // Give the memory response that is due.
    void respond() {
        const bool due = !responses_.empty() && responses_.front().cycle == batch_.cycle;
        if (due || responding_)
            mmu_.wake();
        put(top_.p_memory__rsp__valid, due);
        responding_ = due;
        if (!due)
            return;
        const Response &response = responses_.front();
        put(top_.p_memory__rsp__tag, response.tag);
        put(top_.p_memory__rsp__data, response.data);
        put(top_.p_memory__rsp__exchanged, response.exchanged);
        put(top_.p_memory__rsp__error, response.error);
        responses_.pop_front();
    }

    // Do the page-table access that is offered, if any, and keep the response until it is due.
    void serve() {
        if (!take(top_.p_memory__req__valid))
            return;
        progress_ = batch_.cycle;
        Response response{batch_.cycle + batch_.latency, take(top_.p_memory__req__tag),
                          0, false, false};
        if (Entry *entry = find_entry(take(top_.p_memory__req__address))) {
            response.data = *entry;
            if (take(top_.p_memory__req__op) == COMPARE_EXCHANGE &&
                *entry == take(top_.p_memory__req__expected)) {
                response.exchanged = true;
                *entry = static_cast<Entry>(take(top_.p_memory__req__desired));
            }
        } else {
            response.error = true;
        }
        responses_.push_back(response);
    }

    // Return the page-table entry at a physical address, null where there is no memory.
    Entry *find_entry(uint64_t address) const {
        return reinterpret_cast<Entry *>(find(address & -sizeof(Entry)));
    }

    // Return the byte at a physical address, null where there is no memory.
    unsigned char *find(uint64_t address) const {
        const uint64_t pfn = address / FRAME_BYTES;
        const uint64_t *end = batch_.pfns + batch_.frame_count;
        const uint64_t *found = std::lower_bound(batch_.pfns, end, pfn);
        if (found == end || *found != pfn)
            return nullptr;
        const uint64_t row = batch_.rows[found - batch_.pfns];
        return batch_.frames + row * FRAME_BYTES + address % FRAME_BYTES;
    }

    // Note the answers given; return whether each carries the tag of the command that is due.
    bool collect() {
        for (unsigned port = 0; port < INVALIDATE; ++port) {
            if (!is_answered(top_, port))
                continue;
            if (due_[port].empty())
                return false;
            const uint64_t row = due_[port].front();
            due_[port].pop_front();
            --answers_due_;
            Answer answer{};
            if (take_answer(top_, port, answer) != (row & TAG_MASK))
                return false;
            progress_ = batch_.cycle;
            if (row < batch_.count)
                finish(row, answer);
        }
        return true;
    }

    // Note the answer to a command; access its data, or stop, as the case may be.
    void finish(uint64_t row, Answer answer) {
        const Command &command = batch_.commands[row];
        if (command.op_ == OP_DATA && !answer.fault_)
            access_data(command, answer);
        answer.accepted_ = batch_.answers[row].accepted_;
        answer.answered_ = batch_.cycle;
        batch_.answers[row] = answer;
        if (batch_.stop_on_fault && answer.fault_) {
            batch_.stopped = 1;
            batch_.count = row + 1;
        }
    }

    // Load or store data at the physical address in the answer.
    void access_data(const Command &command, Answer &answer) {
        unsigned char *data = find(answer.paddr_);
        if (!data) {
            answer = Answer{};
            answer.fault_ = 1;
            answer.vector_ = MACHINE_CHECK;
            answer.vaddr_ = command.vaddr_;
            return;
        }
        std::memcpy(&answer.value_, data, command.size_);
        if (command.kind_ == WRITE)
            std::memcpy(data, &command.new_, command.size_);
    }

    // Go on to the next command if the turn of this one is over.
    void accept() {
        if (!started_)
            return;
        const Command &command = batch_.commands[batch_.row];
        if (!is_turn_over(command))
            return;
        Answer &answer = batch_.answers[batch_.row];
        answer.accepted_ = progress_ = batch_.cycle;
        if (is_access(command)) {
            due_[stream_].push_back(batch_.row);
            ++answers_due_;
        } else {
            answer.answered_ = batch_.cycle;
        }
        if (command.op_ == OP_EXCHANGE || command.op_ == OP_READ)
            access_as_peer(command, answer);
        ++batch_.row;
        started_ = false;
    }

    // Return whether the next command's turn is in the next cycle.
    bool is_turn_over(const Command &command) {
        switch (command.op_) {
        case OP_ACCESS:
        case OP_DATA:
        case OP_INVALIDATE:
            return is_ready(top_, stream_);
        case OP_WAIT:
            progress_ = batch_.cycle;
            return batch_.cycle - start_ + 1 >= command.new_;
        default:
            return true;
        }
    }

    // Do another processor's access to a page-table entry.
    void access_as_peer(const Command &command, Answer &answer) {
        Entry *entry = find_entry(command.vaddr_);
        if (!entry) {
            answer.fault_ = 1;
            answer.vector_ = MACHINE_CHECK;
            return;
        }
        answer.value_ = *entry;
        if (command.op_ == OP_EXCHANGE)
            *entry = static_cast<Entry>(command.new_);
    }

    Mmu &mmu_;
    Top &top_;
    Batch &batch_;
    bool started_ = false;  // whether the turn of the command `row` has begun,
    uint64_t start_ = 0;    // in which cycle,
    unsigned stream_ = 0;   // and on which stream it is offered, if on any
    std::deque<uint64_t> due_[INVALIDATE];  // commands accepted and not yet answered, by port
    uint64_t answers_due_ = 0;
    std::deque<Response> responses_;
    bool responding_ = false;
    uint64_t progress_ = 0;  // cycle of the last acceptance, answer, memory access or wait
};

}  // namespace

extern "C" {

void *mmu_create() { return new Mmu; }

void mmu_destroy(void *mmu) { delete static_cast<Mmu *>(mmu); }

int mmu_run(void *mmu, void *batch) {
    return Job(*static_cast<Mmu *>(mmu), *static_cast<Batch *>(batch)).run();
}

}
