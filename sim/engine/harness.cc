// Drives a compiled MMU through batches of commands, cycle for cycle as amaranth.py does.

#include <algorithm>
#include <cstring>
#include <deque>

#include "hardware.h"
#include "timed_memory.h"

namespace {

// Arguments and results of one run; `Batch` in harness_batch.py has the same members.
struct Batch {
    const Command *commands;
    Answer *answers;  // all zero at first
    uint64_t count;   // of commands, and of answers; fewer where a fault stopped the run
    Frames frames;
    Model model;
    uint64_t first_cycle;  // of this run, as page-table memory counts
    uint64_t stall_limit;
    uint64_t stop_on_fault;
    uint64_t stop_on_unexpected;
    uint64_t stopped;  // whether a fault did so, 0 at first
    uint64_t *events;  // a counter for each event, all zero at first
    uint64_t cycle;    // cycles played, 0 at first
    uint64_t row;      // the command whose turn it is, 0 at first
    const BusError *errors;  // those by chance; they are there until the next run
    uint64_t error_count;
};

// What stays from one run to the next.
struct Machine {
    Mmu mmu;
    TimedMemory memory;
};

// One run: plays all that surrounds the hardware, as software, other processors and memory.
class Job {
public:
    Job(Machine &machine, Batch &batch)
        : mmu_(machine.mmu), top_(machine.mmu.top), memory_(machine.memory), batch_(batch) {}

    // Play cycles until the run has ended; return DONE, STALLED or UNASKED.
    //
    // The order within a cycle is part of the timing that amaranth.py shares. Inputs are set from
    // what earlier cycles brought; the outputs that follow are looked at before the clock edge.
    // The MMU's own memory access comes before that of another processor in accept(), and an
    // answer is collected before the next command is accepted, so that data commands, which wait
    // for other ports to have answered, are in order. Only the answer to a request of this very
    // cycle, which hardware with no hit latency may give, is collected after that.
    int run() {
        rest();
        while (batch_.row < batch_.count || answers_due_ > 0) {
            const uint64_t now = batch_.first_cycle + batch_.cycle;
            memory_.respond(mmu_, now);
            memory_.say_ready(mmu_, batch_.model, now);
            drive();
            mmu_.settle();
            count_events(top_, batch_.events);
            memory_.note_response(top_, now);
            memory_.serve(top_, batch_.model, batch_.frames, now);
            collect_due();
            accept();
            note_misses();
            end_cancel();
            if (!collect_fresh())
                return UNASKED;
            stop();
            mmu_.advance();
            ++batch_.cycle;
            if (batch_.cycle - progress_ > batch_.stall_limit)
                return STALLED;
        }
        return DONE;
    }

private:
    // An access that waits for its answer: its command, and its tag; whether its lookup missed.
    struct Due {
        uint64_t row, tag;
        bool missed;
    };

    // Play a cycle in which nothing is offered, so that the MMU does not take what the run before
    // offered last for a new request. It is not counted. A walk that nobody waits for may outlast
    // the run that began it: its access must be offered again.
    void rest() {
        accept_outputs(top_);
        memory_.refuse(top_);
        offer_nothing(top_);
        put(top_.p_rst, 0);
        put(top_.p_memory__rsp__valid, 0);
        cancel_nothing();
        mmu_.wake();
        mmu_.settle();
        mmu_.advance();
    }

    // If the turn of the command `row` begins now, set the inputs that it is about. An offer stays
    // until it is accepted.
    void drive() {
        if (started_) {
            if (PULSES && batch_.commands[batch_.row].op_ == OP_INVALIDATE)
                end_pulse();
            return;
        }
        mmu_.wake();
        offer_nothing(top_);
        cancel_nothing();
        put(top_.p_rst, 0);
        if (batch_.row >= batch_.count || must_wait(batch_.commands[batch_.row]))
            return;
        started_ = true;
        refused_ = false;
        start_ = batch_.cycle;
        const Command &command = batch_.commands[batch_.row];
        if (command.op_ == OP_RESET)
            put(top_.p_rst, 1);
        if (CANCELS && command.op_ == OP_CANCEL)
            begin_cancel(command);
        if (!is_access(command) && command.op_ != OP_INVALIDATE)
            return;
        stream_ = is_access(command) ? command.port_ : INVALIDATE;
        put_control(top_, command);
        tag_ = ANSWERS_BY_TAG && stream_ != INVALIDATE ? choose_tag() : batch_.row & TAG_MASK;
        offer(top_, stream_, command, tag_);
    }

    void end_pulse() {
        mmu_.wake();
        offer_nothing(top_);
    }

    // Say in this cycle which accesses are cancelled, if those that wait are so many.
    void begin_cancel(const Command &command) {
        const std::deque<Due> &due = due_[command.port_];
        cancelling_ = command.new_ <= due.size();
        if (!cancelling_)
            return;
        if (command.new_)
            tag_ = due[due.size() - command.new_].tag;
        cancel(top_, command.port_, true, !command.new_, tag_);
    }

    void cancel_nothing() {
        for (unsigned port = 0; CANCELS && port < INVALIDATE; ++port)
            cancel(top_, port, false, false, 0);
    }

    // Return a tag for the request on offer that none of those has that wait for an answer.
    uint64_t choose_tag() {
        const auto taken = [this](const Due &due) { return due.tag == last_tags_[stream_]; };
        do
            last_tags_[stream_] = (last_tags_[stream_] + 1) & TAG_MASK;
        while (std::any_of(due_[stream_].begin(), due_[stream_].end(), taken));
        return last_tags_[stream_];
    }

    static bool is_access(const Command &command) {
        return command.op_ == OP_ACCESS || command.op_ == OP_DATA;
    }

    // Return whether other ports have to answer before it is the turn of a command.
    bool must_wait(const Command &command) const {
        if (!batch_.stop_on_fault && command.op_ != OP_DATA)
            return false;
        if (ANSWERS_BY_TAG || (batch_.stop_on_fault && ACCEPTS_BEHIND_FAULT))
            return answers_due_ > 0;
        return answers_due_ > (is_access(command) ? due_[command.port_].size() : 0);
    }

    // Note which accesses were looked up in this cycle and missed. Each is looked up once that is
    // told, in the order of acceptance, and the next one is not accepted before: it is the last one
    // that was accepted so long ago.
    void note_misses() {
        for (unsigned port = 0; port < INVALIDATE; ++port) {
            if (!is_missed(top_, port))
                continue;
            const auto looked_up = [this](const Due &due) {
                return batch_.answers[due.row].accepted_ + HIT_LATENCY <= batch_.cycle;
            };
            const auto last = std::find_if(due_[port].rbegin(), due_[port].rend(), looked_up);
            if (last != due_[port].rend())
                last->missed = true;
        }
    }

    // Note the answers taken to commands accepted before this cycle.
    void collect_due() {
        for (unsigned port = 0; port < INVALIDATE; ++port) {
            answers_now_[port] = is_answered(top_, port) && memory_.takes_answer(port);
            if (!answers_now_[port] || due_[port].empty())
                continue;
            const bool is_due = take(port);
            tags_match_ &= is_due || ANSWERS_BY_TAG;  // by its tag, it may be of this cycle
            answers_now_[port] = !is_due && ANSWERS_BY_TAG;
        }
    }

    // Note the answers taken to the command accepted in this cycle; return whether each answer of
    // the cycle carried the tag of the command that was due.
    bool collect_fresh() {
        for (unsigned port = 0; port < INVALIDATE; ++port) {
            if (answers_now_[port])
                tags_match_ &= !due_[port].empty() && take(port);
        }
        return tags_match_;
    }

    // Note an answer; return whether it carries the tag of a command that is due.
    bool take(unsigned port) {
        Answer answer{};
        const uint64_t tag = take_answer(top_, port, answer);
        auto one = due_[port].begin();
        if (ANSWERS_BY_TAG)
            one = std::find_if(one, due_[port].end(),
                               [tag](const Due &due) { return due.tag == tag; });
        if (one == due_[port].end() || one->tag != tag)
            return false;
        const Due due = *one;
        due_[port].erase(one);
        --answers_due_;
        progress_ = batch_.cycle;
        if (due.row < batch_.count)
            finish(due.row, answer, !due.missed);
        return true;
    }

    // Note the answer to a command; access its data, or stop, as the case may be.
    void finish(uint64_t row, Answer answer, bool hit) {
        const Command &command = batch_.commands[row];
        if (command.op_ == OP_DATA && !answer.fault_)
            access_data(command, answer);
        answer.accepted_ = batch_.answers[row].accepted_;
        answer.answered_ = batch_.cycle;
        answer.hit_ = hit;
        batch_.answers[row] = answer;
        if (!answer.fault_)
            return;
        if (batch_.stop_on_fault) {
            batch_.stopped = 1;
            batch_.count = row + 1;
        } else if (batch_.stop_on_unexpected && !command.expect_fault_) {
            batch_.stopped = 1;
        }
    }

    // Begin nothing more after a fault that was not expected; what is on offer is withdrawn.
    void stop() {
        if (!batch_.stopped || batch_.row >= batch_.count)
            return;
        batch_.count = batch_.row;
        started_ = false;
    }

    // Note that the accesses under way are lost with this cycle.
    void lose() {
        for (unsigned port = 0; port < INVALIDATE; ++port) {
            for (const Due &due : due_[port])
                lose(due, LOST_BY_RESET);
            due_[port].clear();
        }
    }

    void lose(const Due &due, unsigned how) {
        batch_.answers[due.row].answered_ = batch_.cycle;
        batch_.answers[due.row].lost_ = how;
        --answers_due_;
    }

    // Note that what is cancelled is lost with this cycle, if anything is.
    void end_cancel() {
        if (!CANCELS || !cancelling_)
            return;
        cancelling_ = false;
        const Command &command = batch_.commands[batch_.row - 1];
        std::deque<Due> &all = due_[command.port_];
        const auto kept = [&](const Due &due) { return command.new_ && due.tag != tag_; };
        const auto first = std::stable_partition(all.begin(), all.end(), kept);
        std::for_each(first, all.end(), [this](const Due &due) { lose(due, LOST_BY_CANCEL); });
        all.erase(first, all.end());
    }

    // Load or store data at the physical address in the answer.
    void access_data(const Command &command, Answer &answer) {
        const bool writes = command.kind_ == WRITE;
        const unsigned char *data = batch_.frames.find_to_read(answer.paddr_);
        unsigned char *written = writes ? batch_.frames.find(answer.paddr_) : nullptr;
        if (!data || (writes && !written)) {
            answer = Answer{};
            answer.fault_ = 1;
            answer.vector_ = MACHINE_CHECK;
            answer.vaddr_ = command.vaddr_;
            return;
        }
        std::memcpy(&answer.value_, data, command.size_);
        if (writes)
            std::memcpy(written, &command.new_, command.size_);
    }

    // Go on to the next command if the turn of this one is over.
    void accept() {
        if (!started_)
            return;
        const Command &command = batch_.commands[batch_.row];
        refused_ |= is_refused(top_);
        if (!is_turn_over(command))
            return;
        Answer &answer = batch_.answers[batch_.row];
        answer.accepted_ = progress_ = batch_.cycle;
        if (is_access(command)) {
            due_[stream_].push_back({batch_.row, tag_, false});
            ++answers_due_;
        } else {
            answer.answered_ = batch_.cycle;
        }
        if (command.op_ == OP_INVALIDATE && refused_) {
            answer.fault_ = 1;
            answer.vector_ = GENERAL_PROTECTION;
        }
        if (command.op_ == OP_EXCHANGE || command.op_ == OP_READ)
            access_as_peer(command, answer);
        if (command.op_ == OP_RESET)
            lose();
        ++batch_.row;
        started_ = false;
    }

    // Return whether the next command's turn is in the next cycle.
    bool is_turn_over(const Command &command) {
        switch (command.op_) {
        case OP_INVALIDATE:
            // A pulse is over when the hardware is not busy any more.
            return is_ready(top_, stream_) && (!PULSES || batch_.cycle > start_);
        case OP_ACCESS:
        case OP_DATA:
            return is_ready(top_, stream_);
        case OP_BARRIER:
            return answers_due_ == 0;
        case OP_WAIT:
            progress_ = batch_.cycle;
            return batch_.cycle - start_ + 1 >= command.new_;
        default:
            return true;
        }
    }

    // Do another processor's access to a page-table entry.
    void access_as_peer(const Command &command, Answer &answer) {
        const Entry *entry = batch_.frames.entry(command.vaddr_);
        const uint64_t before = entry ? *entry : 0;
        if (!entry || (command.op_ == OP_EXCHANGE &&
                       !batch_.frames.store(command.vaddr_, command.new_))) {
            answer.fault_ = 1;
            answer.vector_ = MACHINE_CHECK;
            return;
        }
        answer.value_ = before;
    }

    Mmu &mmu_;
    Top &top_;
    TimedMemory &memory_;
    Batch &batch_;
    bool started_ = false;  // whether the turn of the command `row` has begun,
    uint64_t start_ = 0;    // in which cycle,
    unsigned stream_ = 0;   // and on which stream it is offered, if on any
    uint64_t tag_ = 0;      // with which tag, if through a request port; or which is cancelled
    bool refused_ = false;  // whether the hardware says so of the invalidation on offer
    bool cancelling_ = false;  // whether accesses are cancelled in this cycle
    std::deque<Due> due_[INVALIDATE];  // accesses accepted and not yet answered, by port
    uint64_t last_tags_[INVALIDATE] = {};  // that were chosen last
    uint64_t answers_due_ = 0;
    bool answers_now_[INVALIDATE] = {};  // whether an answer of this cycle is still to be noted
    bool tags_match_ = true;  // of all answers so far
    uint64_t progress_ = 0;  // cycle of the last acceptance, answer or wait
};

}  // namespace

extern "C" {

void *mmu_create() { return new Machine; }

void mmu_destroy(void *machine) { delete static_cast<Machine *>(machine); }

int mmu_run(void *machine, void *arguments) {
    Machine &one = *static_cast<Machine *>(machine);
    Batch &batch = *static_cast<Batch *>(arguments);
    one.memory.errors.clear();
    const int status = Job(one, batch).run();
    batch.errors = one.memory.errors.data();
    batch.error_count = one.memory.errors.size();
    return status;
}

}
