"""`ostiary policy` and `ostiary facts` as they are typed, with nothing but files at hand."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from policies.packs import PACKS
from server import config
from server.cli import main
from server.commands.policy import marked

COMMANDS = ["policy check", "policy test", "policy explain", "policy diff", "policy packs", "facts"]
READ = '@id("read") permit (principal in Group::"staff", action in {actions}, resource);\n'.format(
    actions='[Action::"connect", Action::"read"]'
)
CASES = """
targets:
  shop: {environment: production}
catalog:
  tables:
    public.orders: {id: integer, note: text}
cases:
  - name: staff read
    who: {user: ann, groups: [staff]}
    target: shop
    sql: SELECT id FROM orders
    expect: {decision: allow}
  - name: others do not
    who: {user: otto}
    target: shop
    sql: SELECT id FROM orders
    expect: {decision: allow, rules: [read]}
"""
CONFIGURATION = """
identity: {issuers: [{name: corp, issuer: "https://idp.example.com"}]}
policies: ./policies
groups: [staff]
targets:
  shop:
    kind: postgres
    environment: production
    address: db.internal:5432
    database: shop
    reader: {user: reader, password: "env:READER"}
"""


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


Typed = Callable[..., Done]


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """Types a command in an empty directory, with these lines on standard input."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, lines: str = "") -> Done:
        (tmp_path / "lines").write_text(lines)
        with (tmp_path / "lines").open() as given:
            monkeypatch.setattr("sys.stdin", given)
            try:
                code = main(arguments)
            except SystemExit as left:
                code = int(left.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "read.cedar").write_text(READ)
    return directory


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_teaches_itself_with_an_example(typed: Typed, command: str) -> None:
    done = typed(*command.split(), "--help")
    assert done.code == 0
    assert f"ostiary {command}" in done.out.split("example:")[1]


# --- check ---------------------------------------------------------------------------------------


def test_check_says_what_is_wrong_with_file_and_line_and_fails(
    typed: Typed, policies: Path
) -> None:
    (policies / "wrong.cedar").write_text("\nforbid (principal, action, resource);\n")
    done = typed("policy", "check", "policies")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("policies/wrong.cedar:2: error: ")
    assert "@id" in done.err


def test_check_passes_with_warnings(typed: Typed, policies: Path, tmp_path: Path) -> None:
    (tmp_path / "ostiary.yaml").write_text(CONFIGURATION)
    (policies / "odd.cedar").write_text(
        '@id("odd") forbid (principal, action, resource in Environment::"prod");'
    )
    done = typed("policy", "check", "--config", "ostiary.yaml")
    assert done.code == 0
    assert "good, version" in done.out
    assert 'warning: policy odd: names Environment::"prod"' in done.err


def test_check_knows_the_groups_of_the_configuration(
    typed: Typed, policies: Path, tmp_path: Path
) -> None:
    (tmp_path / "ostiary.yaml").write_text(CONFIGURATION.replace("[staff]", "[crew]"))
    done = typed("policy", "check", "--config", "ostiary.yaml")
    assert done.code == 1
    assert "staff, which is no group" in done.err


# --- test ----------------------------------------------------------------------------------------


def test_a_failing_case_says_what_was_expected_what_came_and_which_policies_decided(
    typed: Typed, policies: Path
) -> None:
    (policies / "cases.yaml").write_text(CASES)
    (policies / "never.cedar").write_text(
        '@id("never") @reason("Not Otto.") '
        'forbid (principal == User::"case:otto", action, resource);'
    )
    done = typed("policy", "test", "policies")
    assert done.code == 1
    assert "FAILED policies/cases.yaml:13: others do not" in done.out
    assert "decision: expected allow, came deny" in done.out
    assert "rules: expected read, came never" in done.out
    assert "by never (policies/never.cedar:1): Not Otto." in done.out
    assert "refused: Not Otto. (FORBIDDEN, connect on shop)" in done.out
    assert done.out.endswith("1 of 2 cases failed\n")


def test_cases_that_come_out_as_expected_are_good(typed: Typed, policies: Path) -> None:
    (policies / "cases.yaml").write_text(CASES.replace("allow, rules: [read]", "deny"))
    done = typed("policy", "test")
    assert (done.code, done.out) == (0, "good: 2 cases\n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("decision: allow}", "decision: maybe}", "cases.yaml:12: cases[0].expect.decision"),
        ("    target: shop\n", "", "cases[0].target is missing"),
        ("sql: SELECT", "sq: SELECT", "cases.yaml:11: cases[0].sq: unknown key; write 'sql'?"),
        ("{user: ann, groups: [staff]}", "ann", "`who: ann` is not under `people`"),
        ("target: shop", "target: shp", "cases.yaml:8: there is no target 'shp'"),
        ("public.orders:", "orders:", "with its schema"),
        ("cases:", "cases: [", "not YAML"),
    ],
)
def test_a_case_that_is_none_is_named_with_file_and_line(
    typed: Typed, policies: Path, old: str, new: str, says: str
) -> None:
    (policies / "cases.yaml").write_text(CASES.replace(old, new, 1))
    done = typed("policy", "test", "policies")
    assert (done.code, done.out) == (1, "")
    assert says in done.err


def test_tables_in_a_file_are_postgresqls(typed: Typed, policies: Path) -> None:
    (policies / "cases.yaml").write_text(
        CASES.replace("{environment:", "{kind: mysql, environment:")
    )
    done = typed("policy", "test", "policies")
    assert (done.code, done.out) == (1, "")
    assert "target shop is of the kind mysql, and its catalog of postgres" in done.err


def test_the_case_in_the_help_is_one_that_passes(typed: Typed, tmp_path: Path) -> None:
    shown = typed("policy", "test", "--help").out
    case = shown.split("a file of cases:\n")[1].split("\n`expect`")[0]
    (tmp_path / "cases.yaml").write_text("policies: starter\n" + textwrap.dedent(case))
    done = typed("policy", "test", "cases.yaml")
    assert (done.code, done.out) == (0, "good: 1 cases\n")


def test_cases_without_a_catalog_say_where_one_comes_from(typed: Typed, policies: Path) -> None:
    bare = CASES[: CASES.index("catalog:")] + CASES[CASES.index("cases:") :]
    (policies / "cases.yaml").write_text(bare)
    done = typed("policy", "test", "policies")
    assert done.code == 1
    assert "--gateway" in done.err
    assert "cases.yaml:5: " in done.err


def test_a_directory_without_cases_is_an_error(typed: Typed, policies: Path) -> None:
    done = typed("policy", "test", "policies")
    assert done.code == 1
    assert "no *.yaml files with cases" in done.err


def test_targets_come_from_the_configuration_too(
    typed: Typed, policies: Path, tmp_path: Path
) -> None:
    (tmp_path / "ostiary.yaml").write_text(CONFIGURATION)
    cases = yaml.safe_load(CASES)
    del cases["targets"], cases["cases"][1]
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(cases))
    done = typed("policy", "test", "more.yaml", "--config", "ostiary.yaml")
    assert (done.code, done.out) == (0, "good: 1 cases\n")


def test_a_file_of_cases_may_name_its_policies(typed: Typed, tmp_path: Path) -> None:
    cases = CASES.replace("[staff]", "[analysts]").replace("allow, rules: [read]", "deny")
    (tmp_path / "cases.yaml").write_text("policies: analytics\n" + cases)
    assert typed("policy", "test", "cases.yaml").code == 0


# --- packs ---------------------------------------------------------------------------------------


def test_the_packs_are_listed_with_their_groups(typed: Typed) -> None:
    listed = typed("policy", "packs").out
    for pack in PACKS:
        assert f"{pack.name}: {pack.sentence}" in listed
        assert ", ".join(pack.groups) in listed


def test_a_pack_is_copied_with_its_cases_and_they_pass_there(typed: Typed) -> None:
    assert typed("policy", "packs", "--copy", "product-team", "mine").code == 0
    done = typed("policy", "test", "mine")
    assert done.code == 0
    assert done.out.startswith("good: ")
    again = typed("policy", "packs", "--copy", "product-team", "mine")
    assert "is not empty" in again.err


def test_init_begins_with_a_pack(typed: Typed, tmp_path: Path) -> None:
    assert typed("init", "gateway", "--pack", "compliance").code == 0
    assert config.load(tmp_path / "gateway" / "ostiary.yaml").policies == "compliance"
    refused = typed("init", "other", "--pack", "strict")
    assert "there is no pack 'strict'; there are starter, analytics" in refused.err
    assert not (tmp_path / "other").exists()


# --- facts and diff, with files alone ------------------------------------------------------------


def test_what_is_no_catalog_is_said(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}")
    for name in ("c.json", "missing.json"):
        done = typed("facts", "--catalog", name, lines='{"sql": "SELECT 1"}\n')
        assert (done.code, done.out) == (1, "")
        assert name in done.err


def test_what_is_no_export_is_said_with_its_line(
    typed: Typed, policies: Path, tmp_path: Path
) -> None:
    (tmp_path / "export").write_text('{"kind": "session_closed"}\nnot a record\n')
    done = typed("policy", "diff", "policies", "--base", "starter", "--replay", "export")
    assert done.code == 1
    assert "export:2: no record" in done.err


def test_nothing_recorded_is_nothing_changed(typed: Typed, policies: Path, tmp_path: Path) -> None:
    (tmp_path / "export").write_text("")
    compared = ("policy", "diff", "policies", "--base", "starter", "--replay", "export")
    assert "decided anew: 0 requests; 0 would come out otherwise" in typed(*compared).out
    assert json.loads(typed(*compared, "--json").out)["decided"] == 0


# --- marks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "what", "line"),
    [
        ("SELECT nope(1)", "nope", "SELECT nope(1)"),
        ("SELECT 1,\n  nope(1)\nFROM t", "nope", "  nope(1)"),
        ("SELECT 'ä', nope(1)", "nope", "SELECT 'ä', nope(1)"),
    ],
)
def test_a_span_of_bytes_is_marked_below_its_line(sql: str, what: str, line: str) -> None:
    start = sql.encode().index(what.encode())
    text, marks = marked(sql, start, start + len(what))
    assert text == line
    assert marks == " " * line.index(what) + "^" * len(what)


def test_a_mark_in_a_long_line_is_shown_with_what_is_about_it() -> None:
    text, marks = marked("x" * 5000 + "nope" + "y" * 5000, 5000, 5004)
    assert len(text) <= 160
    assert text[marks.index("^") : marks.index("^") + 4] == "nope"


def test_a_span_beyond_the_text_marks_its_end() -> None:
    assert list(marked("SELECT", 6, 9)) == ["SELECT", "      ^"]
