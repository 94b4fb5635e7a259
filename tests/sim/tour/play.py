"""Takes the steps of a tour and compares the numbers of each sentence with those expected."""

from .witness import numbers


def play(tour, snapshot, expected):
    """Compare sentences with what ``expected`` has: a function of the states around each step.

    ``snapshot(tour)`` is such a state; each function is called with that before and after the step,
    and with the events of the step, and returns the numbers in their order.
    """
    was = snapshot(tour)
    for step, expect in zip(tour.steps(), expected, strict=True):
        now = snapshot(tour)
        assert numbers(step.sentence) == expect(was, now, step.events), step.title
        was = now
