"""Commands about the program itself: `version`, `completion`."""

import click
from anabranch_cli import terminal

from anabranch_hub.cli.invocation import Invocation, command


@command("version")
async def version(invocation: Invocation) -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    number = version_of("anabranch")
    if not invocation.json:
        terminal.write(f"anabranch-hub {number}")
        return
    import platform

    terminal.write_json({"version": number, "python": platform.python_version()})


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
async def completion(invocation: Invocation, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(anabranch-hub completion bash)"     in ~/.bashrc
    zsh:   eval "$(anabranch-hub completion zsh)"      in ~/.zshrc
    fish:  anabranch-hub completion fish > ~/.config/fish/completions/anabranch-hub.fish
    """
    from anabranch_hub.cli.program import program

    script = program.completion_script(shell)
    if invocation.json:
        terminal.write_json({"shell": shell, "script": script})
    else:
        terminal.write(script)


COMMANDS = {"version": version, "completion": completion}
