"""What can be typed after `ostiary`, and the help that teaches it. Imports nothing heavy."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

CONFIG: Final = "ostiary.yaml"

_TOP: Final = """\
The gateway between AI agents and infrastructure: it knows who asks, decides by policy,
asks a person where policy says so, masks what comes back, and records all of it.

see it work:       ostiary demo
set one up:        ostiary init gateway && ostiary serve --config gateway/ostiary.yaml
use one:           ostiary login --gateway https://ostiary.example.com
                   claude mcp add --transport http ostiary https://ostiary.example.com/mcp \\
                     --header "Authorization: Bearer $(ostiary token)"
review requests:   ostiary approvals watch
                   ostiary approvals approve ap_… --comment 'checked with Ada'
read back:         ostiary sessions list
                   ostiary sessions replay 44243d9eb40cd66d9d950d41
"""

_EXIT: Final = """\
exit codes: 0 done, 1 refused or failed, 2 not understood
variables:  OSTIARY_GATEWAY  the gateway's URL, where --gateway is not given
            OSTIARY_TOKEN    your token, instead of the one that `ostiary login` keeps
"""

if TYPE_CHECKING:
    _Subcommands = _SubParsersAction[ArgumentParser]  # generic in its stub only


@dataclass(frozen=True, slots=True)
class Command:
    """Where a subcommand's code is; it is imported when it runs, and not before."""

    module: str
    function: str


def build_parser(version: str) -> ArgumentParser:
    """The parser; what it returns has a `command`, unless only a group was named."""
    parser = ArgumentParser(
        prog="ostiary",
        description=_TOP,
        epilog=_EXIT,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ostiary {version}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_setup(commands)
    _add_run(commands)
    _add_account(commands)
    _add_approvals(commands)
    _add_sessions(commands)
    _add_policy(commands)
    return parser


def _add(
    commands: _Subcommands, name: str, sentence: str, *, example: str, command: Command
) -> ArgumentParser:
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


def _add_group(commands: _Subcommands, name: str, sentence: str) -> _Subcommands:
    group = commands.add_parser(name, help=sentence, description=sentence, allow_abbrev=False)
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _add_gateway(parser: ArgumentParser) -> None:
    parser.add_argument("--gateway", metavar="URL", help="the gateway (or OSTIARY_GATEWAY)")


def _add_setup(commands: _Subcommands) -> None:
    init = _add(
        commands,
        "init",
        "write a configuration to begin with, and a new key ring",
        example="ostiary init gateway",
        command=Command("setup", "init"),
    )
    init.add_argument("directory", nargs="?", default=".", metavar="DIR", help="default: here")
    check = _add(
        commands,
        "check",
        "read a configuration with its secrets and keys; connects to nothing",
        example="ostiary check gateway/ostiary.yaml",
        command=Command("setup", "check"),
    )
    which = check.add_mutually_exclusive_group()
    which.add_argument("file", nargs="?", metavar="FILE", help=f"default: {CONFIG}")
    which.add_argument("--config", metavar="FILE", help="the same, as `serve` has it")


def _add_run(commands: _Subcommands) -> None:
    serve = _add(
        commands,
        "serve",
        "run the gateway",
        example="ostiary serve --config gateway/ostiary.yaml",
        command=Command("run", "serve"),
    )
    serve.add_argument("--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")
    mcp = _add(
        commands,
        "mcp",
        "serve one MCP client on standard input and output, as OSTIARY_TOKEN's user",
        example="OSTIARY_TOKEN=$(ostiary token) ostiary mcp --config gateway/ostiary.yaml",
        command=Command("run", "mcp"),
    )
    mcp.add_argument("--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")
    demo = _add(
        commands,
        "demo",
        "show the main job on this machine, with a sample database and two demo accounts",
        example="ostiary demo --port 8001 --tour-only",
        command=Command("demo", "demo"),
    )
    demo.add_argument("--port", type=int, default=8000, help="the gateway's (default: 8000)")
    demo.add_argument("--state", default="state", metavar="DIR", help="default: ./state")
    demo.add_argument("--tour-only", action="store_true", help="end after the tour")


def _add_account(commands: _Subcommands) -> None:
    login = _add(
        commands,
        "login",
        "sign in to a gateway, in the browser or with a code",
        example="ostiary login --gateway https://ostiary.example.com --device",
        command=Command("account", "login"),
    )
    _add_gateway(login)
    login.add_argument("--issuer", metavar="NAME", help="which, if the gateway trusts several")
    how = login.add_mutually_exclusive_group()
    how.add_argument("--device", action="store_true", help="with a code, on any other screen")
    how.add_argument(
        "--no-browser", dest="browser", action="store_false", help="show the page's URL only"
    )
    token = _add(
        commands,
        "token",
        "print your token, for a client's configuration",
        example="export OSTIARY_TOKEN=$(ostiary token)",
        command=Command("account", "token"),
    )
    _add_gateway(token)
    whoami = _add(
        commands,
        "whoami",
        "print who the gateway takes you for",
        example="ostiary whoami",
        command=Command("account", "whoami"),
    )
    _add_gateway(whoami)


def _add_approvals(commands: _Subcommands) -> None:
    group = _add_group(commands, "approvals", "see and decide what waits for a person")
    listed = _add(
        group,
        "list",
        "the newest requests that are yours or that you may decide",
        example="ostiary approvals list --state pending",
        command=Command("approvals", "list_"),
    )
    _add_gateway(listed)
    states = ("all", "pending", "approved", "denied", "expired", "used", "void")
    listed.add_argument("--state", choices=states, default="all", help="default: all")
    watch = _add(
        group,
        "watch",
        "show requests as they come and change, until interrupted",
        example="ostiary approvals watch",
        command=Command("approvals", "watch"),
    )
    _add_gateway(watch)
    for name, sentence in (
        ("show", "one request in full, with the facts that policy saw"),
        ("approve", "let the request run, once"),
        ("deny", "refuse the request"),
    ):
        one = _add(
            group,
            name,
            sentence,
            example=f"ostiary approvals {name} ap_3kQ…",
            command=Command("approvals", name),
        )
        one.add_argument("ticket", help="the approval's id")
        _add_gateway(one)
        if name != "show":
            one.add_argument("--comment", default="", help="goes into the recording")


def _add_sessions(commands: _Subcommands) -> None:
    group = _add_group(commands, "sessions", "read what was recorded")
    listed = _add(
        group,
        "list",
        "the newest sessions",
        example="ostiary sessions list",
        command=Command("sessions", "list_"),
    )
    _add_gateway(listed)
    for name, sentence in (
        ("show", "who opened a session, where and when"),
        ("replay", "what was asked, decided, run and answered, in order"),
        ("export", "the records with nothing left out, as NDJSON"),
    ):
        one = _add(
            group,
            name,
            sentence,
            example=f"ostiary sessions {name} se_9fA…",
            command=Command("sessions", name),
        )
        one.add_argument("session", help="the session's id")
        _add_gateway(one)
        if name == "export":
            one.add_argument("--format", choices=("ndjson",), default="ndjson")
    verify = _add(
        group,
        "verify",
        "check that every record is as it was written; names the first that is not",
        example="ostiary sessions verify",
        command=Command("sessions", "verify"),
    )
    _add_gateway(verify)


def _add_policy(commands: _Subcommands) -> None:
    group = _add_group(commands, "policy", "check policies, and ask what they would say")
    check = _add(
        group,
        "check",
        "load a directory of *.cedar files, or the policies of a configuration",
        example="ostiary policy check policies/",
        command=Command("policy_check", "check"),
    )
    where = check.add_mutually_exclusive_group(required=True)
    where.add_argument("where", nargs="?", metavar="DIR", help="the *.cedar files")
    where.add_argument("--config", metavar="FILE", help="a configuration that names them")
    explain = _add(
        group,
        "explain",
        "what would be decided, and by which policies; nothing runs",
        example="ostiary policy explain --as rita --target shop 'UPDATE orders SET total = 0'",
        command=Command("policy", "explain"),
    )
    explain.add_argument(
        "--as", dest="principal", metavar="USER", help="id or name; default: yourself"
    )
    explain.add_argument(
        "--group",
        action="append",
        metavar="GROUP",
        help="a group of theirs (repeat it); for somebody the gateway has not seen yet",
    )
    explain.add_argument("--target", required=True, help="the target's name")
    explain.add_argument("sql", metavar="SQL", help="the statement")
    _add_gateway(explain)
