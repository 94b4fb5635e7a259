"""What is told of a run while it goes on, to whoever wants to show it."""

from ...model.kernel.tasks.task import Task

__all__ = ["RunObserver"]


class RunObserver:
    """Is told of calls, signals and ends as they happen; this one does nothing with it."""

    def call(self, task: Task, name: str, arguments: tuple[int, ...]) -> None:
        """A task makes a call, with its six registers."""

    def result(self, task: Task, name: str, result: int | None) -> None:
        """A call has this result, which may come long after it; None if it has none."""

    def signals(self, task: Task) -> None:
        """A task is about to take those of its signals that it does not block."""

    def ended(self, task: Task, wait_status: int) -> None:
        """A task ends, with its process if that is the last; the status is as wait4 stores it."""
