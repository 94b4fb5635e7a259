// Records of accesses, kept in a buffer and written to a file; see sim/trace/access_record.py.
//
// Included by fill.cc behind layout.h, which has `Fills`, `Record` and the flags.

// Write what the buffer holds; return whether that went well, and note why not.
inline bool flush_records(Fills &fills) {
    const char *at = static_cast<const char *>(fills.record_buffer);
    uint64_t left = fills.record_count * sizeof(Record);
    fills.records_written += fills.record_count;
    fills.record_count = 0;
    while (left && !fills.record_error) {
        const ssize_t done = write(static_cast<int>(fills.record_file), at, left);
        if (done < 0 && errno != EINTR)
            fills.record_error = static_cast<uint64_t>(errno);
        if (done > 0) {
            at += done;
            left -= static_cast<uint64_t>(done);
        }
    }
    return !fills.record_error;
}

// Add a record, if accesses are recorded; return whether that went well.
inline bool record(Fills &fills, uint64_t vaddr, unsigned kind, unsigned flags) {
    if (!fills.record_buffer)
        return true;
    static_cast<Record *>(fills.record_buffer)[fills.record_count++] = {
        (vaddr & -PAGE_BYTES) | kind | flags, static_cast<uint32_t>(fills.record_space),
        static_cast<uint32_t>(fills.record_task)};
    return fills.record_count < fills.record_capacity || flush_records(fills);
}
