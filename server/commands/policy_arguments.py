"""What the people who write policy can type after `ostiary`: policy, facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.commands.parsers import CONFIG, Command, add, add_gateway, add_group

if TYPE_CHECKING:
    from server.commands.parsers import Subcommands

_DIRECTORY = "the *.cedar files, or the name of a pack"


def add_policy(commands: Subcommands) -> None:
    """`ostiary policy`."""
    group = add_group(commands, "policy", "write policies: check, test, explain and compare them")
    _add_check(group)
    _add_test(group)
    _add_explain(group)
    _add_diff(group)
    packs = add(
        group,
        "packs",
        "the policies that come with Ostiary; copy one to make it your own",
        example="ostiary policy packs --copy product-team policies",
        command=Command("policy_packs", "packs"),
    )
    packs.add_argument(
        "--copy", nargs=2, metavar=("PACK", "DIR"), help="write its files, tests too, to DIR"
    )


def add_facts(commands: Subcommands) -> None:
    """`ostiary facts`."""
    facts = add(
        commands,
        "facts",
        "what policy sees of statements: lines of JSON in, with id and sql; lines of JSON out",
        example='echo \'{"id": 1, "sql": "SELECT 1"}\' | ostiary facts --target shop',
        command=Command("facts", "facts"),
    )
    which = facts.add_mutually_exclusive_group(required=True)
    which.add_argument("--target", metavar="NAME", help="by the gateway, with its live catalog")
    which.add_argument("--catalog", metavar="FILE", help="on this machine, with a snapshot")
    facts.add_argument("--full", action="store_true", help="with `facts`, as they are recorded")
    facts.add_argument(
        "--snapshot",
        action="store_true",
        help="print the target's catalog instead, for --catalog and for policy tests",
    )
    add_gateway(facts)


def _add_check(group: Subcommands) -> None:
    check = add(
        group,
        "check",
        "load policies, and say what is wrong or looks wrong in them, with file and line",
        example="ostiary policy check policies/",
        command=Command("policy_check", "check"),
    )
    where = check.add_mutually_exclusive_group(required=True)
    where.add_argument("where", nargs="?", metavar="DIR", help=_DIRECTORY)
    where.add_argument(
        "--config",
        metavar="FILE",
        help="a configuration that names them; its targets, labels and groups are checked too",
    )


_CASES = """

a file of cases:
  targets:
    shop: {environment: production}
  catalog:                                # or the file of a snapshot: catalog: shop.json
    tables:
      public.customers: {id: bigint, name: text, email: {type: text, label: pii}}
  cases:
    - name: analysts read masked
      who: {user: ann, groups: [analysts], agent: claude-code}
      target: shop
      sql: SELECT email FROM customers
      reason: ""                          # also: channel: postgres, at: 2026-01-05T12:00:00Z
      expect: {decision: allow, rules: [mask-sensitive-columns], masked: [pii]}

`expect` looks at what it names: decision (allow, approve, deny), rules (policies that took part),
approvers, people, masked, row_limit, timeout, code, audited. More: ostiary policy packs.
"""


def _add_test(group: Subcommands) -> None:
    test = add(
        group,
        "test",
        "run the cases of YAML files against policies; 1 if one comes out otherwise",
        example="ostiary policy test policies/ --config ostiary.yaml",
        command=Command("policy_test", "test"),
    )
    test.epilog = f"{test.epilog}{_CASES}"
    test.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files of cases, or directories that hold them; default: beside the policies",
    )
    test.add_argument("--policies", metavar="DIR", help=_DIRECTORY)
    test.add_argument("--config", metavar="FILE", help="a configuration: its policies and targets")
    test.add_argument(
        "--gateway",
        metavar="URL",
        help="take targets and facts from this gateway, with its live catalogs",
    )


def _add_explain(group: Subcommands) -> None:
    explain = add(
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
    explain.add_argument("--agent", metavar="AGENT", help="the client that acts for them")
    explain.add_argument("--target", required=True, help="the target's name")
    explain.add_argument("--channel", choices=("mcp", "postgres", "mysql"), default="mcp")
    explain.add_argument("--reason", default="", help="as the requester would give it")
    explain.add_argument("--json", action="store_true", help="all of it, for programs")
    explain.add_argument("sql", metavar="SQL", help="the statement")
    add_gateway(explain)


def _add_diff(group: Subcommands) -> None:
    diff = add(
        group,
        "diff",
        "decide recorded requests by other policies as well: what would change",
        example=f"ostiary policy diff new-policies/ --config {CONFIG} --last 500",
        command=Command("policy_diff", "diff"),
    )
    diff.add_argument("new", metavar="NEW", help=_DIRECTORY)
    base = diff.add_mutually_exclusive_group(required=True)
    base.add_argument("--base", metavar="DIR", help="what NEW is compared with")
    base.add_argument("--config", metavar="FILE", help="a configuration that names it")
    which = diff.add_mutually_exclusive_group()
    which.add_argument(
        "--replay", metavar="FILE", help="an export of sessions (with --config), or saved lines"
    )
    which.add_argument(
        "--last", type=int, default=500, metavar="N", help="the gateway's newest (default: 500)"
    )
    diff.add_argument("--json", action="store_true", help="all of it, for programs")
    add_gateway(diff)
