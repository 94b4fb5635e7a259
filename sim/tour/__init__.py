"""``pagewalk tour``: short runs of the kernel model, with its state before and after each step."""
