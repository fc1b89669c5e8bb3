"""Commands about the program itself: `version`, `completion`."""

import click
from anabranch_cli import terminal

from anabranch import __version__
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
    from anabranch.cli.program import program

    script = program.completion_script(shell)
    if invocation.json:
        terminal.write_json({"shell": shell, "script": script})
    else:
        terminal.write(script)


COMMANDS = {"version": version, "completion": completion}
