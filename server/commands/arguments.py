"""What can be typed after `ostiary`, and the help that teaches it. Imports nothing heavy."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Final

from server.commands.administration import add_config, add_keys, add_scan, add_tokens, add_webhooks
from server.commands.parsers import CONFIG, Command, add, add_gateway, add_group
from server.commands.policy_arguments import add_facts, add_policy
from server.commands.scrub_arguments import add_scrub

if TYPE_CHECKING:
    from server.commands.parsers import Subcommands

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
stop an agent:     ostiary agents block AGENT --reason 'reads too much'
read back:         ostiary sessions list
                   ostiary sessions replay 44243d9eb40cd66d9d950d41
"""

_EXIT: Final = """\
exit codes: 0 done, 1 refused or failed, 2 not understood
variables:  OSTIARY_GATEWAY  the gateway's URL, where --gateway is not given
            OSTIARY_TOKEN    your token, instead of the one that `ostiary login` keeps
"""


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
    _add_agents(commands)
    _add_sessions(commands)
    _add_verify(commands)
    add_tokens(commands)
    add_scrub(commands)
    add_policy(commands)
    add_facts(commands)
    add_scan(commands)
    add_webhooks(commands)
    add_keys(commands)
    add_config(commands)
    return parser


def _add_setup(commands: Subcommands) -> None:
    init = add(
        commands,
        "init",
        "write a configuration to begin with, and a new key ring",
        example="ostiary init gateway",
        command=Command("setup", "init"),
    )
    init.add_argument("directory", nargs="?", default=".", metavar="DIR", help="default: here")
    init.add_argument(
        "--pack", default="starter", metavar="NAME", help="policies; see `ostiary policy packs`"
    )
    check = add(
        commands,
        "check",
        "read a configuration with its secrets and keys; connects to nothing",
        example="ostiary check gateway/ostiary.yaml",
        command=Command("setup", "check"),
    )
    which = check.add_mutually_exclusive_group()
    which.add_argument("file", nargs="?", metavar="FILE", help=f"default: {CONFIG}")
    which.add_argument("--config", metavar="FILE", help="the same, as `serve` has it")


def _add_run(commands: Subcommands) -> None:
    serve = add(
        commands,
        "serve",
        "run the gateway",
        example="ostiary serve --config gateway/ostiary.yaml",
        command=Command("run", "serve"),
    )
    serve.add_argument("--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")
    serve.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that share the ports; limits count for each of them (default: 1)",
    )
    mcp = add(
        commands,
        "mcp",
        "serve one MCP client on standard input and output, as OSTIARY_TOKEN's user",
        example="OSTIARY_TOKEN=$(ostiary token) ostiary mcp --config gateway/ostiary.yaml",
        command=Command("run", "mcp"),
    )
    mcp.add_argument("--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")
    demo = add(
        commands,
        "demo",
        "show the main job on this machine, with a sample database and two demo accounts",
        example="ostiary demo --port 8001 --tour-only",
        command=Command("demo", "demo"),
    )
    demo.add_argument("--port", type=int, default=8000, help="the gateway's (default: 8000)")
    demo.add_argument("--state", default="state", metavar="DIR", help="default: ./state")
    demo.add_argument("--tour-only", action="store_true", help="end after the tour")


def _add_account(commands: Subcommands) -> None:
    login = add(
        commands,
        "login",
        "sign in to a gateway, in the browser or with a code",
        example="ostiary login --gateway https://ostiary.example.com --device",
        command=Command("account", "login"),
    )
    add_gateway(login)
    login.add_argument("--issuer", metavar="NAME", help="which, if the gateway trusts several")
    how = login.add_mutually_exclusive_group()
    how.add_argument("--device", action="store_true", help="with a code, on any other screen")
    how.add_argument(
        "--no-browser", dest="browser", action="store_false", help="show the page's URL only"
    )
    token = add(
        commands,
        "token",
        "print your token, for a client's configuration; or a new one, as psql's password",
        example="PGPASSWORD=$(ostiary token --target shop) psql -h gateway -p 6432 shop",
        command=Command("account", "token"),
    )
    token.add_argument("--target", metavar="NAME", help="a password for this target's own clients")
    token.add_argument("--ttl", metavar="TIME", help="how long it lasts, such as 30m or 8h")
    add_gateway(token)
    whoami = add(
        commands,
        "whoami",
        "print who the gateway takes you for",
        example="ostiary whoami",
        command=Command("account", "whoami"),
    )
    add_gateway(whoami)


def _add_approvals(commands: Subcommands) -> None:
    group = add_group(commands, "approvals", "see and decide what waits for a person")
    listed = add(
        group,
        "list",
        "the newest requests that are yours or that you may decide",
        example="ostiary approvals list --state pending",
        command=Command("approvals", "list_"),
    )
    add_gateway(listed)
    open_states, ended = ("pending", "approved"), ("denied", "withdrawn", "revoked", "expired")
    states = ("all", *open_states, *ended, "used", "void")
    listed.add_argument("--state", choices=states, default="all", help="default: all")
    watch = add(
        group,
        "watch",
        "show requests as they come and change, until interrupted",
        example="ostiary approvals watch",
        command=Command("approvals", "watch"),
    )
    add_gateway(watch)
    for name, sentence in (
        ("show", "one request in full, with the facts that policy saw"),
        ("approve", "let the request run, once"),
        ("deny", "refuse the request"),
        ("withdraw", "take your own request back before it runs"),
        ("revoke", "take an approval back before it is used"),
    ):
        one = add(
            group,
            name,
            sentence,
            example=f"ostiary approvals {name} ap_3kQ…",
            command=Command("approvals", name),
        )
        one.add_argument("ticket", help="the approval's id")
        add_gateway(one)
        if name != "show":
            one.add_argument("--comment", default="", help="goes into the recording")


def _add_agents(commands: Subcommands) -> None:
    group = add_group(commands, "agents", "see which agents came; stop one, at every gateway")
    for name, sentence, after in (
        ("list", "which agents came lately and for whom, and what is blocked", ""),
        ("block", "let an agent in no more, and end what it runs: within 5 s", " cursor"),
        ("unblock", "let it in again", " cursor"),
    ):
        one = add(
            group,
            name,
            sentence,
            example=f"ostiary agents {name}{after}",
            command=Command("agents", {"list": "list_"}.get(name, name)),
        )
        add_gateway(one)
        if name == "list":
            continue
        who = one.add_mutually_exclusive_group(required=True)
        who.add_argument("agent", nargs="?", metavar="AGENT", help="its OAuth client id")
        who.add_argument("--person", metavar="ID", help="a person instead, with every agent")
        one.add_argument("--reason", default="", help="for the recording, and who is refused")
        if name == "block":
            one.add_argument("--until", metavar="WHEN", help="2h, 30m, 7d or 2030-01-31T18:00Z")


def _add_sessions(commands: Subcommands) -> None:
    group = add_group(commands, "sessions", "read what was recorded")
    listed = add(
        group,
        "list",
        "the newest sessions",
        example="ostiary sessions list",
        command=Command("sessions", "list_"),
    )
    listed.add_argument("--live", action="store_true", help="those open now at native doors")
    add_gateway(listed)
    kill = add(
        group,
        "kill",
        "end a session that is open now at a native door",
        example="ostiary sessions kill 44243d9eb40cd66d9d950d41",
        command=Command("native", "kill"),
    )
    kill.add_argument("session", help="the session's id, as `list --live` shows it")
    add_gateway(kill)
    for name, sentence in (
        ("show", "who opened a session, where and when"),
        ("replay", "what was asked, decided, run and answered, in order"),
        ("export", "the records with nothing left out, as NDJSON"),
    ):
        one = add(
            group,
            name,
            sentence,
            example=f"ostiary sessions {name} se_9fA…",
            command=Command("sessions", name),
        )
        one.add_argument("session", help="the session's id")
        add_gateway(one)
        if name == "export":
            one.add_argument("--format", choices=("ndjson",), default="ndjson")
    verify = add(
        group,
        "verify",
        "check that every record is as it was written; names the first that is not",
        example="ostiary sessions verify",
        command=Command("sessions", "verify"),
    )
    add_gateway(verify)


def _add_verify(commands: Subcommands) -> None:
    verify = add(
        commands,
        "verify",
        "check the recording in its store, without a gateway: as its operator, or as an auditor",
        example=f"ostiary verify --config gateway/{CONFIG} --anchors /backup/anchors.jsonl",
        command=Command("verify", "verify"),
    )
    which = verify.add_mutually_exclusive_group()
    which.add_argument("--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")
    which.add_argument("--store", metavar="REF", help="the store's URL, as env:NAME or file:PATH")
    verify.add_argument(
        "--anchors",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of anchors, or a copy that was kept elsewhere (repeat it)",
    )
    verify.add_argument(
        "--public-key",
        action="append",
        default=[],
        metavar="ID:HEX",
        help="with --store: what `ostiary anchor-key` prints (repeat it)",
    )
    key = add(
        commands,
        "anchor-key",
        "print the public keys that anchors of the recording are signed with, for auditors",
        example=f"ostiary anchor-key --config gateway/{CONFIG}",
        command=Command("verify", "anchor_key"),
    )
    key.add_argument("--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")
