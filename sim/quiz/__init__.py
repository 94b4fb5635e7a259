"""``pagewalk quiz``: exercises from a seed, their answers by the model, and what grades them."""
