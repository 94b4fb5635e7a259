"""Components of hardware that is elaborated, and the signals inside them, by name."""

from collections.abc import Iterable, Iterator
from typing import Any

from amaranth import Value
from amaranth.hdl import Fragment
from amaranth.hdl._ast import Assign, Switch
from amaranth.lib import data

__all__ = ["ComponentTree"]


class ComponentTree:
    """One component with what is inside it: submodules, signals and memories.

    A simulator made of the same fragment simulates these very signals.

    Parameters
    ----------
    fragment : Fragment
        What a component, or a module, was elaborated to.
    name : str
        What it is called in errors.
    """

    def __init__(self, fragment: Any, name: str = "top") -> None:
        self._fragment, self._name = fragment, name

    @classmethod
    def of(cls, module: Any) -> "ComponentTree":
        """Elaborate a module or component, and return its tree."""
        return cls(Fragment.get(module, None))

    @property
    def fragment(self) -> Any:
        """What a simulator is made of."""
        return self._fragment

    @property
    def component(self) -> Any:
        """The object that was elaborated; its public members are ports."""
        return self._fragment.origins[0]

    def has(self, name: str) -> bool:
        """Return whether there is a submodule of that name."""
        return any(one == name for _, one, _ in self._fragment.subfragments)

    def inner(self, name: str) -> "ComponentTree":
        """Return a submodule; raise ``LookupError`` if there is none."""
        for fragment, one, _ in self._fragment.subfragments:
            if one == name:
                return ComponentTree(fragment, f"{self._name}.{name}")
        raise LookupError(f"Component {self._name} must have a submodule {name!r}")

    def register(self, name: str, layout: Any = None) -> Any:
        """Return a register by its name, as a view of ``layout`` if there is one.

        Raise ``LookupError`` if there is not exactly one, or it is not as wide as the layout.
        """
        return self._driven("sync", name, layout)

    def wire(self, name: str, layout: Any = None) -> Any:
        """Return a signal that is driven combinationally, as ``register`` does."""
        return self._driven("comb", name, layout)

    def _driven(self, domain: str, name: str, layout: Any) -> Any:
        found = {id(signal): signal for statement in self._fragment.statements.get(domain, ())
                 for signal in statement._lhs_signals() if signal.name == name}
        if len(found) != 1:
            raise LookupError(f"Component {self._name} must have one signal {name!r}, not "
                              f"{len(found)}")
        signal, = found.values()
        if layout is None:
            return signal
        if len(signal) != layout.size:
            raise LookupError(f"Signal {self._name}.{name} must have {layout.size} bits, not "
                              f"{len(signal)}")
        return data.View(layout, signal)

    def flags(self) -> Any:
        """Return the register that is set to constants alone; raise as ``register`` does.

        Registers that are made several at once have no name of their own.
        """
        values: dict[int, list[Any]] = {}
        found = {}
        for target, value in _assignments(self._fragment.statements.get("sync", ())):
            for signal in target._lhs_signals():
                found[id(signal)] = signal
                values.setdefault(id(signal), []).extend(value._rhs_signals())
        constant = [found[key] for key, read in values.items() if not read]
        if len(constant) != 1:
            raise LookupError(f"Component {self._name} must have one register of flags, not "
                              f"{len(constant)}")
        return constant[0]

    def rows(self, layout: Any = None) -> list[Any]:
        """Return the words of a memory, as views of ``layout`` if there is one.

        Raise ``LookupError`` if they are not as wide as it.
        """
        memory = self.component.data
        words = [Value.cast(memory[number]) for number in range(memory.depth)]
        if layout is None:
            return words
        if len(words[0]) != layout.size:
            raise LookupError(f"Memory {self._name} must have words of {layout.size} bits, not "
                              f"{len(words[0])}")
        return [data.View(layout, word) for word in words]

    def state(self) -> tuple[Any, dict[int, str]]:
        """Return the register of the component's FSM, and the names of its values."""
        signal = self.register("fsm_state")
        return signal, {value: signal.decoder(value).partition("/")[0]
                        for value in self._values(signal)}

    @staticmethod
    def _values(signal: Any) -> list[int]:
        values = []
        for value in range(1 << len(signal)):
            try:
                signal.decoder(value)
            except KeyError:  # a value that is no state
                continue
            values.append(value)
        return values


def _assignments(statements: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the target and the value of each assignment, conditional ones too."""
    for one in statements:
        if isinstance(one, Switch):
            for _, inner, _ in one.cases:
                yield from _assignments(inner)
        elif isinstance(one, Assign):
            yield one.lhs, one.rhs
