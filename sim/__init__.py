"""What brings hardware and model together: engines, memory images, replays, the command line."""
