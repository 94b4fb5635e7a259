"""What TLBs and walk caches do with a trace, event for event as the hardware, without cycles."""
