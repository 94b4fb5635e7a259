"""What the exit codes of the command mean."""

__all__ = ["AGREED", "BAD_INPUT", "EXIT_CODES", "INTERRUPTED", "MISMATCH", "PIPE_CLOSED",
           "TOOL_MISSING"]

AGREED, MISMATCH, BAD_INPUT, TOOL_MISSING = 0, 1, 2, 3
INTERRUPTED = 130  # what a shell says of a program that SIGINT ended ...
PIPE_CLOSED = 141  # ... and of one that SIGPIPE ended

EXIT_CODES = {
    AGREED: "all agreed, or there was nothing to compare",
    MISMATCH: "a mismatch was found, or the hardware made no progress",
    BAD_INPUT: "bad usage or input, or output that cannot be written",
    TOOL_MISSING: "a tool is missing or fails",
    INTERRUPTED: "interrupted",
    PIPE_CLOSED: "nobody reads standard output any more",
}
"""Each code in the words of help. What goes wrong is said in one line on standard error that starts
``pagewalk: error:``, except for a mismatch, which is shown, and for the last."""
