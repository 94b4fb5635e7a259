"""One walk explained: figures, error code, what TLBs keep, what a change would do, toy tables."""
