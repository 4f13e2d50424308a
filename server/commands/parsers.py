"""How each subcommand is made, so that all of them teach in the same way. Imports nothing heavy."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    Subcommands = _SubParsersAction[ArgumentParser]  # generic in its stub only

CONFIG: Final = "ostiary.yaml"


@dataclass(frozen=True, slots=True)
class Command:
    """Where a subcommand's code is; it is imported when it runs, and not before."""

    module: str
    function: str


def add(
    commands: Subcommands, name: str, sentence: str, *, example: str, command: Command
) -> ArgumentParser:
    """One subcommand, with an example in its help."""
    parser = commands.add_parser(
        name,
        help=sentence,
        description=sentence,
        epilog=f"example:\n  {example}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=command)
    return parser


def add_group(commands: Subcommands, name: str, sentence: str) -> Subcommands:
    """Subcommands under one name."""
    group = commands.add_parser(name, help=sentence, description=sentence, allow_abbrev=False)
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def add_gateway(parser: ArgumentParser) -> None:
    """Which gateway to speak to."""
    parser.add_argument("--gateway", metavar="URL", help="the gateway (or OSTIARY_GATEWAY)")
