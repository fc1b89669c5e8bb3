"""Commands about the program itself: `version`, `completion`."""

import click

from anabranch import __version__
from anabranch.cli import terminal
from anabranch.cli.invocation import Invocation, command


@command("version")
def version(invocation: Invocation) -> None:
    """Print the version."""
    if not invocation.json:
        terminal.write(f"anabranch {__version__}")
        return
    import platform

    terminal.write_json({"version": __version__, "python": platform.python_version()})


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(invocation: Invocation, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(anabranch completion bash)"     in ~/.bashrc
    zsh:   eval "$(anabranch completion zsh)"      in ~/.zshrc
    fish:  anabranch completion fish > ~/.config/fish/completions/anabranch.fish
    """
    from click.shell_completion import get_completion_class

    from anabranch.cli.program import COMPLETION_VARIABLE, program

    kind = get_completion_class(shell)
    assert kind is not None, "click completes every shell of the choice"
    script = kind(program, {}, "anabranch", COMPLETION_VARIABLE).source()
    if invocation.json:
        terminal.write_json({"shell": shell, "script": script})
    else:
        terminal.write(script)


COMMANDS = {"version": version, "completion": completion}
