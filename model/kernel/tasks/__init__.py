"""Tasks: what runs, what it waits for, and the signals that it gets."""
