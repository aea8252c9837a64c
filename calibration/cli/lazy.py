"""Commands that are imported when they are invoked; ``ttc --help`` imports none of them."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class LazyCommand(TyperCommand):
    """A command's entry in its group's list; when invoked it loads the command itself.

    Args:
        name: the command's name on the command line.
        target: its definition, as ``module:attribute``: a function, or a `typer.Typer` of
            subcommands.
        help: its line in the list of commands.
    """

    def __init__(self, name: str, target: str, help: str) -> None:
        super().__init__(name, help=help)
        self._target = target

    def load(self) -> Any:
        """The command itself, as typer builds it."""
        module, _, attribute = self._target.partition(":")
        loaded = getattr(import_module(module), attribute)
        if not isinstance(loaded, typer.Typer):
            function, loaded = loaded, typer.Typer(add_completion=False)
            loaded.command(self.name)(function)
        return typer.main.get_command(loaded)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Parse the command's arguments; what follows is invoked on the command itself."""
        return self.load().make_context(info_name, args, parent, **extra)


def lazy_group(commands: Mapping[str, tuple[str, str]]) -> type[TyperGroup]:
    """A group of lazy commands, for ``typer.Typer(cls=...)``.

    Args:
        commands: target and help by name, see `LazyCommand`.
    """

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            for name, (target, help) in commands.items():
                self.add_command(LazyCommand(name, target, help))

    return LazyGroup
