"""What administrators can type after `ostiary`: webhooks, keys, the configuration's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from server.commands.parsers import CONFIG, Command, add, add_gateway, add_group

if TYPE_CHECKING:
    from server.commands.parsers import Subcommands


def add_webhooks(commands: Subcommands) -> None:
    """`ostiary webhooks`."""
    group = add_group(commands, "webhooks", "see whether receivers are told of requests; try one")
    for name, sentence, function in (
        ("list", "how each configured webhook stands", "list_"),
        ("failed", "what could not be delivered, and why", "failed"),
        ("retry", "begin again with what could not be delivered", "retry"),
        ("test", "send a test event now; says what the receiver answered", "test"),
    ):
        after = {"retry": " msg_5f0c…", "test": " oncall"}.get(name, "")
        one = add(
            group,
            name,
            sentence,
            example=f"ostiary webhooks {name}{after}",
            command=Command("webhooks", function),
        )
        add_gateway(one)
        if name == "test":
            one.add_argument("name", help="the webhook's name in the configuration")
        if name == "retry":
            which = one.add_mutually_exclusive_group(required=True)
            which.add_argument("id", nargs="?", help="the delivery's id, as `failed` shows it")
            which.add_argument("--all", action="store_true", help="everything that failed")


def add_tokens(commands: Subcommands) -> None:
    """`ostiary tokens`."""
    group = add_group(commands, "tokens", "see and take back tokens of `ostiary token --target`")
    for name, sentence in (
        ("list", "those that can be used: your own, and others' where policy lets you"),
        ("revoke", "let a token in no more, and end its sessions: within 30 s"),
    ):
        after = " 5f0c1a2b3d4e5f60" if name == "revoke" else ""
        one = add(
            group,
            name,
            sentence,
            example=f"ostiary tokens {name}{after}",
            command=Command("native", {"list": "list_"}.get(name, name)),
        )
        add_gateway(one)
        if name == "revoke":
            one.add_argument("token", metavar="ID", help="the token's id, as `list` shows it")


def add_scan(commands: Subcommands) -> None:
    """`ostiary scan`."""
    scan = add(
        commands,
        "scan",
        "sample a target's tables and propose labels for its columns; it changes nothing",
        example="ostiary scan shop --table public.customers --sample 500 > proposed.yaml",
        command=Command("scan", "scan"),
    )
    scan.description = _SCAN
    scan.add_argument("target", metavar="TARGET", help="a target of the configuration")
    scan.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME",
        help="schema.table, and views too; repeat it for more (default: every table)",
    )
    scan.add_argument(
        "--column", action="append", default=[], metavar="NAME", help="only columns of this name"
    )
    scan.add_argument(
        "--sample", type=int, default=200, metavar="ROWS", help="rows a table, 1 to 1000 (200)"
    )
    scan.add_argument("--json", action="store_true", help="a line of JSON a table, with evidence")
    add_gateway(scan)


_SCAN: Final = """\
Sample a target's tables and propose labels for its columns; it changes nothing.

The gateway reads some rows of each table with its own reader, looks for e-mail addresses, cards,
phone numbers, secrets and the like with Presidio and at the columns' names, and prints rules for
`columns` of the target as YAML, each with its evidence. Read them, and paste those that are right
into the configuration. Values do not leave the gateway; examples show their shape alone. That a
column is not proposed is no proof that nothing is in it. Needs the permission `target.scan`.
"""


def add_keys(commands: Subcommands) -> None:
    """`ostiary keys`."""
    group = add_group(commands, "keys", "see and change the gateway's own keys, on its machine")
    for name, sentence, example in (
        ("list", "ids and purposes; never a secret", "list"),
        ("rotate", "put a new key before the old one, which stays for reading", "rotate cursor"),
        (
            "drop",
            "remove an old key for good; says what can't be read then",
            "drop cursor 5f0c1a2b",
        ),
        ("add-missing", "make the keys that this version needs and the ring lacks", "add-missing"),
    ):
        one = add(
            group,
            name,
            sentence,
            example=f"ostiary keys {example} --config gateway/{CONFIG}",
            command=Command("keys", {"list": "list_"}.get(name, name.replace("-", "_"))),
        )
        if name in ("rotate", "drop"):
            one.add_argument("purpose", metavar="PURPOSE", help="what the key is for; see `list`")
        if name == "drop":
            one.add_argument("id", metavar="ID", help="the key's id; see `list`")
            one.add_argument("--yes", action="store_true", help="do it, and not only say it")
        one.add_argument("--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")


def add_config(commands: Subcommands) -> None:
    """`ostiary config`."""
    group = add_group(commands, "config", "what a configuration may say")
    add(
        group,
        "schema",
        "print the configuration's JSON Schema, for an editor that checks as you type",
        example="ostiary config schema > ostiary.schema.json",
        command=Command("config_schema", "schema"),
    )
