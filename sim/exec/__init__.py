"""Real programs whose every translation is made by an engine: the processor that runs them."""
