"""A program: its commands, each imported only when it is called, and its way out."""

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from anabranch_cli import failure, terminal
from anabranch_cli.options import is_debugging, is_flag_given


class Program(click.Group):
    """A group whose commands live in modules of `package`: which one has a command, `modules` says.

    A module names its commands in ``COMMANDS``.
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, str],
        *,
        package: str,
        params: list[click.Parameter],
        help: str,
        epilog: str,
    ) -> None:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        super().__init__(name, params=params, help=help, epilog=epilog, context_settings=settings)
        self.called = name
        self._modules = modules
        self._package = package

    @property
    def completion_variable(self) -> str:
        """The variable by which the scripts of `completion` ask; click derives the same from the name."""
        return f"_{self.called.upper().replace('-', '_')}_COMPLETE"

    def completion_script(self, shell: str) -> str:
        """What `shell` (``bash``, ``zsh``, ``fish``) has to run to complete this program's command lines."""
        from click.shell_completion import get_completion_class

        kind = get_completion_class(shell)
        assert kind is not None, "click completes every shell of the choice"
        return kind(self, {}, self.called, self.completion_variable).source()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # What everybody tries first.
        return super().parse_args(ctx, ["version", *args[1:]] if args[:1] == ["--version"] else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        commands: Mapping[str, click.Command] = import_module(f"{self._package}.{module}").COMMANDS
        if not gc.isenabled():  # who began this process waited for the imports, which stay
            gc.freeze()
            gc.enable()
        return commands[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self._modules:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self._modules, n=1)
            meant = f": did you mean {close[0]}?" if close else ""
            ctx.fail(f"there is no command {terminal.one_line(args[0])!r}{meant}")
        return super().resolve_command(ctx, args)

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """Run one command line, that of the process by default, to its exit code. No exception leaves it."""
        given = list(sys.argv[1:] if arguments is None else arguments)
        try:
            terminal.prepare_streams()
            asked = os.environ.get(self.completion_variable)
            if asked:
                return self._complete(asked)
            # Not `main`: it would answer Ctrl-C and a closed pipe in its own way. What it reads it takes out
            # of the list it is given, and how an error is told is read once more.
            with self.make_context(self.called, [*given]) as context:
                self.invoke(context)
            terminal.flush()
        except BaseException as error:  # noqa: BLE001 - the top of the process: nothing may pass it
            as_json = is_flag_given(given, "--json")
            return failure.report(error, self.called, as_json=as_json, debug=is_debugging(given))
        return failure.ExitCode.OK

    def _complete(self, asked: str) -> int:
        """Answer a shell that asks for completions."""
        from click.shell_completion import shell_complete

        code = shell_complete(self, {}, self.called, self.completion_variable, asked)
        terminal.flush()
        return code
