"""The configuration file: what it means, and what is said about one that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from policies.errors import ConfigError
from server import config
from server.cli import main
from server.config import Address, ColumnName, Configuration, Secret

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
PUBLISHED: Final = ROOT / "server" / "configuration.schema.json"
VALIDATOR: Final = Draft202012Validator(json.loads(PUBLISHED.read_text()))

SMALLEST = """\
identity:
  issuers:
    - {name: corp, issuer: https://idp.example.com}
targets:
  shop:
    kind: postgres
    environment: production
    address: db.internal:5432
    database: shop
    reader: {user: ostiary_reader, password: env:READER}
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "ostiary.yaml"
    path.write_text(text)
    return path


def load(directory: Path, text: str) -> Configuration:
    return config.load(write(directory, text))


def refusal(directory: Path, text: str) -> str:
    """The message, with the file's place shortened."""
    with pytest.raises(ConfigError) as raised:
        load(directory, text)
    return str(raised.value).replace(str(directory / "ostiary.yaml"), "FILE")


def test_ten_lines_are_a_configuration(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALLEST)
    assert loaded.gateway.listen == Address("127.0.0.1", 8000)
    assert loaded.gateway.public_url == "http://127.0.0.1:8000"
    assert loaded.identity.issuers[0].audience == "http://127.0.0.1:8000/mcp"
    assert loaded.state == tmp_path / "state"
    assert loaded.keys.path == tmp_path / "state" / "keys.json"
    assert loaded.store.url is None
    assert loaded.policies == "starter"
    assert (loaded.approvals.expire_after, loaded.approvals.hold) == (900, 25)
    assert loaded.targets["shop"].encrypted
    assert loaded.targets["shop"].search_path == ("public",)


def test_the_example_is_a_configuration_and_names_its_own_place(tmp_path: Path) -> None:
    text = config.example(Path("here/ostiary.yaml"))
    assert "ostiary check --config here/ostiary.yaml" in text
    loaded = load(tmp_path, text)
    masks = {rule.column: rule.mask for rule in loaded.targets["shop"].columns}
    assert masks[ColumnName("public", "customers", "ssn")] == "keep_last(4)"


def test_every_line_of_the_example_that_is_commented_out_works_as_well(tmp_path: Path) -> None:
    lines = config.example(Path("ostiary.yaml")).splitlines()
    settings = ("public_url", "tls", "store", "audience", "listeners", "  - {protocol")
    settings += ("notifications", "  webhooks", "    - {name: oncall")
    active = [uncommented(line, settings) for line in lines]
    loaded = load(tmp_path, "\n".join(active))
    assert loaded.listeners[0].listen == Address("127.0.0.1", 6432)
    assert loaded.store.url == Secret("env", "OSTIARY_STORE_URL", tmp_path)
    assert loaded.gateway.tls is not None
    assert [webhook.name for webhook in loaded.notifications.webhooks] == ["oncall"]


def uncommented(line: str, settings: tuple[str, ...]) -> str:
    before, mark, after = line.partition("# ")
    wanted = not before.strip() and mark and after.startswith(settings)
    return before + after if wanted else line


def test_the_models_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(tmp_path, SMALLEST).policies = "starter"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("database: shop", "databse: shop", "FILE:9: targets.shop.databse: unknown key"),
        ("database: shop", "databse: shop", "write 'database'?"),
        ("    database: shop\n", "", "FILE:5: targets.shop.database is missing"),
        ("    database: shop\n", "", "write for example `database: shop`"),
        ("identity:", "zzzz: 1\nidentity:", "FILE:1: zzzz: unknown key; known here: approvals,"),
        ("database: shop", "database: 7", "FILE:9: targets.shop.database"),
        ("database: shop", "database: shop\n    database: x", "FILE:10: the key 'database' stands"),
        ("kind: postgres", "kind: oracle", "FILE:6: targets.shop.kind: write one of mariadb"),
        ("kind: postgres", "", "targets.shop.kind is missing; write one of mariadb, mysql, post"),
        ("db.internal:5432", "db.internal", "such as db.internal:5432, or unix:/run/postgresql"),
        ("db.internal:5432", "db.internal:99999", "targets.shop.address"),
        ("https://idp", "http://idp", "FILE:3: identity.issuers[0].issuer: write https"),
        ("https://idp", "ftp://idp", "FILE:3: identity.issuers[0].issuer: write an https URL"),
        ("name: corp", "name: 'Corp:x'", "identity.issuers[0].name is not what it should be"),
        ("issuers:\n    - {", "issuers:\n      {", "identity.issuers must be a list"),
        ("  shop:", "  shop: [", "FILE:7: not YAML"),
        ("shop:\n", "shop: *never\n", "FILE:5: not YAML"),
    ],
)
def test_an_error_names_line_key_and_what_to_write(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert expected in refusal(tmp_path, SMALLEST.replace(old, new))


def test_every_error_is_told_at_once(tmp_path: Path) -> None:
    text = SMALLEST.replace("database:", "databse:").replace("name: corp", "nmae: corp")
    lines = refusal(tmp_path, text).splitlines()
    assert {line.split(" ")[0] for line in lines} == {"FILE:3:", "FILE:5:", "FILE:9:"}


def test_a_password_in_plain_text_is_refused_and_not_repeated(tmp_path: Path) -> None:
    message = refusal(tmp_path, SMALLEST.replace("env:READER", "hunter2hunter2"))
    assert "FILE:10: targets.shop.reader.password: a secret does not stand" in message
    assert "write env:NAME or file:PATH" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("reference", ["hunter2:hunter2", "env:", "file:", "", 17, ["a"]])
def test_what_is_no_reference_is_refused_and_not_repeated(
    tmp_path: Path, reference: object
) -> None:
    message = refusal(tmp_path, SMALLEST.replace("env:READER}", f"{json.dumps(reference)}}}"))
    assert "write env:NAME or file:PATH" in message
    assert "hunter2" not in message


def test_a_secret_is_read_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    loaded = load(tmp_path, SMALLEST.replace("env:READER", "file:password"))
    password = loaded.targets["shop"].reader.password
    assert password.resolve() == "s3cret"
    assert "s3cret" not in repr(loaded)


def test_a_secret_is_read_from_the_environment_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = load(tmp_path, SMALLEST).targets["shop"].reader.password
    monkeypatch.setenv("READER", "s3cret")
    assert password.resolve() == "s3cret"


@pytest.mark.parametrize("reference", ["env:NOT_SET_AT_ALL", "file:not-there"])
def test_a_secret_that_is_not_there_is_named_by_its_reference(
    tmp_path: Path, reference: str
) -> None:
    loaded = load(tmp_path, SMALLEST.replace("env:READER", reference))
    with pytest.raises(ConfigError, match=reference):
        loaded.targets["shop"].reader.password.resolve()


def test_listening_beyond_loopback_needs_tls(tmp_path: Path) -> None:
    gateway = "gateway:\n  listen: 10.0.0.5:8000\n"
    assert "FILE:1: gateway: listening on 10.0.0.5:8000" in refusal(tmp_path, gateway + SMALLEST)
    tls = "  tls: {certificate: file:c.pem, key: file:k.pem}\n"
    loaded = load(tmp_path, gateway + tls + SMALLEST)
    assert loaded.gateway.public_url == "https://10.0.0.5:8000"
    assert loaded.gateway.tls is not None
    assert loaded.gateway.tls.certificate == tmp_path / "c.pem"


def test_a_listener_beyond_loopback_needs_tls(tmp_path: Path) -> None:
    listeners = "listeners:\n  - {protocol: postgres, listen: '0.0.0.0:6432'}\n"
    assert "FILE:12: listeners[0]: listening on" in refusal(tmp_path, SMALLEST + listeners)


def test_a_listener_says_its_protocol_and_its_own_target(tmp_path: Path) -> None:
    wrong = "listeners:\n  - {protocol: telnet, listen: '127.0.0.1:1'}\n"
    said = refusal(tmp_path, SMALLEST + wrong)
    assert "listeners[0].protocol: write one of mysql, postgres" in said
    other = "listeners:\n  - {protocol: mysql, target: shop, listen: '127.0.0.1:1'}\n"
    assert "`target: shop` is no mysql or mariadb target" in refusal(tmp_path, SMALLEST + other)


def test_listening_everywhere_needs_a_public_url(tmp_path: Path) -> None:
    tls = "  tls: {certificate: file:c.pem, key: file:k.pem}\n"
    gateway = "gateway:\n  listen: 0.0.0.0:8000\n" + tls
    assert "write `public_url: https://HOST:PORT`" in refusal(tmp_path, gateway + SMALLEST)


@pytest.mark.parametrize("address", ["127.0.0.1:5432", "'[::1]:5432'", "localhost:5432", "unix:/x"])
def test_tls_may_be_off_on_this_machine(tmp_path: Path, address: str) -> None:
    text = SMALLEST.replace("db.internal:5432", f"{address}\n    tls: disable")
    assert not load(tmp_path, text).targets["shop"].encrypted


@pytest.mark.parametrize("address", ["db.internal:5432", "10.0.0.1:5432", "localhost.evil:5432"])
def test_tls_may_not_be_off_beyond_this_machine(tmp_path: Path, address: str) -> None:
    text = SMALLEST.replace("db.internal:5432", f"{address}\n    tls: disable")
    assert "`tls: disable` is only for" in refusal(tmp_path, text)


def test_reads_that_may_change_something_are_recorded_before_they_run(tmp_path: Path) -> None:
    address = "db.internal:5432"
    for more in ("recording: best_effort", "functions: [public.f]"):
        assert load(tmp_path, SMALLEST.replace(address, f"{address}\n    {more}")).targets
    both = f"{address}\n    recording: best_effort\n    functions: [public.f]"
    said = refusal(tmp_path, SMALLEST.replace(address, both))
    assert "`recording: best_effort` is for reads that change nothing" in said


def test_a_unix_socket_needs_no_tls(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALLEST.replace("db.internal:5432", "unix:run"))
    assert loaded.targets["shop"].address == Address(str(tmp_path / "run"), None)
    assert not loaded.targets["shop"].encrypted


MASKS = [
    ("null", "null"),
    ("redact", "redact"),
    ("keep_last(4)", "keep_last(4)"),
    ("email", "email"),
    ("year", "year"),
    ("constant(gone)", "constant(gone)"),
    ("constant()", "constant()"),
    ("pseudonym(customers)", "pseudonym(customers)"),
]


@pytest.mark.parametrize(("written", "mask"), MASKS)
def test_a_mask_is_one_of_the_operators(tmp_path: Path, written: str, mask: str) -> None:
    rule = f"    columns: [{{column: public.a.b, label: pii, mask: {written}}}]\n"
    assert load(tmp_path, SMALLEST + rule).targets["shop"].columns[0].mask == mask


@pytest.mark.parametrize(
    "written", ["keep_last", "keep_last(0)", "keep_last(x)", "hash", "pseudonym()", "year()", "4"]
)
def test_another_mask_is_refused_with_those_that_there_are(tmp_path: Path, written: str) -> None:
    rule = f"    columns: [{{column: public.a.b, label: pii, mask: {written}}}]\n"
    message = refusal(tmp_path, SMALLEST + rule)
    assert "FILE:11: targets.shop.columns[0].mask: write null, redact" in message


@pytest.mark.parametrize("written", ["ssn", "customers.ssn", "a.b.c.d", "public..ssn", "'a b.c.d'"])
def test_a_column_has_schema_table_and_column(tmp_path: Path, written: str) -> None:
    rule = f"    columns: [{{column: {written}, label: pii, mask: redact}}]\n"
    assert "write schema.table.column" in refusal(tmp_path, SMALLEST + rule)


def test_a_quoted_column_may_hold_dots(tmp_path: Path) -> None:
    rule = """    columns: [{column: 'public."Odd.Table"."a""b"', label: pii, mask: redact}]\n"""
    column = load(tmp_path, SMALLEST + rule).targets["shop"].columns[0].column
    assert column == ColumnName("public", "Odd.Table", 'a"b')


def test_a_column_with_two_rules_is_refused(tmp_path: Path) -> None:
    rule = "{column: public.a.b, label: pii, mask: redact}"
    message = refusal(tmp_path, f"{SMALLEST}    columns: [{rule}, {rule}]\n")
    assert "the column public.a.b stands there twice" in message


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("25s", 25), ("15m", 900), ("12h", 43200), ("500ms", 0.5), ("1d", 86400)],
)
def test_times_have_units(tmp_path: Path, written: str, seconds: float) -> None:
    loaded = load(tmp_path, f"approvals: {{hold: {written}}}\n{SMALLEST}")
    assert loaded.approvals.hold == seconds


@pytest.mark.parametrize("written", ["25", "0s", "-1s", "1 s", "soon", "1s2m", "true"])
def test_a_time_without_a_unit_is_refused(tmp_path: Path, written: str) -> None:
    message = refusal(tmp_path, f"approvals: {{hold: {written}}}\n{SMALLEST}")
    assert "FILE:1: approvals.hold: write a time with its unit" in message


def test_two_issuers_of_one_name_are_refused(tmp_path: Path) -> None:
    other = "    - {name: corp, issuer: https://other.example.com}\ntargets:"
    assert "issuer name corp stands" in refusal(tmp_path, SMALLEST.replace("targets:", other))


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_only_asymmetric_algorithms_are_taken(tmp_path: Path, algorithm: str) -> None:
    issuer = f"name: corp, algorithms: [{algorithm}]"
    message = refusal(tmp_path, SMALLEST.replace("name: corp", issuer))
    assert "identity.issuers[0].algorithms[0]: write one of" in message


@pytest.mark.parametrize("text", ["", "[]", "just text", "targets: {}\n", "gateway:\n"])
def test_a_file_that_holds_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).startswith("FILE:1: ")


def test_an_alias_inside_what_it_names_is_refused(tmp_path: Path) -> None:
    assert "an alias stands inside" in refusal(tmp_path, "targets: &a\n  shop: *a\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no-such-file.*No such file"):
        config.load(tmp_path / "no-such-file")


# --- targets of other kinds ----------------------------------------------------------------------

MYSQL = SMALLEST.replace("kind: postgres", "kind: mysql").replace("5432", "3306")


@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
def test_a_mysql_target_needs_no_more_than_a_postgresql_one(tmp_path: Path, kind: str) -> None:
    target = load(tmp_path, MYSQL.replace("mysql", kind)).targets["shop"]
    assert isinstance(target, config.MysqlTarget)
    assert (target.kind, target.tls, target.sessions.statement) == (kind, "verify-full", 60.0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    search_path: [public]", "FILE:11: targets.shop.search_path: unknown key; known"),
        ("    lock_timeout: 5", "FILE:11: targets.shop.lock_timeout: write a time with"),
        ("    lock_time: 5s", "targets.shop.lock_time: unknown key; write 'lock_timeout'?"),
        ("    tls: disable", "FILE:5: targets.shop: `tls: disable` is only for Unix sockets"),
    ],
)
def test_an_error_in_a_mysql_target_names_its_line(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, MYSQL + more + "\n")
    assert said in str(raised.value).replace(str(tmp_path / "ostiary.yaml"), "FILE")


# --- the published schema, judged by another library's validator ---------------------------------


def as_other_tools_read_it(text: str) -> object:
    return yaml.safe_load(text)


def complaints(text: str) -> list[str]:
    found = VALIDATOR.iter_errors(as_other_tools_read_it(text))
    return [f"{'.'.join(map(str, e.path))}: {e.message}" for e in found]


def test_the_published_schema_is_that_of_the_models() -> None:
    assert PUBLISHED.read_text() == config.json_schema() + "\n", (
        "write it anew: ostiary config schema > server/configuration.schema.json"
    )


def test_it_is_a_schema_and_names_every_key_of_the_file() -> None:
    schema = json.loads(PUBLISHED.read_text())
    Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(Configuration.model_fields)
    assert schema["additionalProperties"] is False


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert capsys.readouterr().out == PUBLISHED.read_text()


def test_what_is_loaded_is_valid_by_it() -> None:
    lines = config.example(Path("ostiary.yaml")).splitlines()
    assert complaints("\n".join(lines)) == []
    assert complaints(SMALLEST) == []


def test_every_configuration_in_the_documents_is_valid_by_it() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    whole = [block for block in blocks if "identity:" in block and "targets:" in block]
    assert whole
    assert [complaints(block) for block in whole] == [[] for _ in whole]


def test_each_piece_of_a_configuration_in_the_documents_is_valid_by_it() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    pieces = [block for block in blocks if not ("identity:" in block and "targets:" in block)]
    assert [complaints(f"{SMALLEST}{piece}") for piece in pieces] == [[] for _ in pieces]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("database: shop", "databse: shop"),
        ("    database: shop\n", ""),
        ("kind: postgres", "kind: oracle"),
        ("name: corp", "name: 'Corp:x'"),
        ("identity:", "zzzz: 1\nidentity:"),
        ("env:READER", "hunter2hunter2"),
        ("identity:", "approvals: {hold: 25}\nidentity:"),
        ("identity:", "notifications: {webhooks: [{name: x}]}\nidentity:"),
    ],
)
def test_what_is_refused_is_invalid_by_it(tmp_path: Path, old: str, new: str) -> None:
    text = SMALLEST.replace(old, new)
    assert refusal(tmp_path, text)
    assert complaints(text)


def test_defaults_and_examples_stand_there_as_they_are_written() -> None:
    wrong = [
        f"{place}: {value!r}: {error.message}"
        for place, schema in keys_of(json.loads(PUBLISHED.read_text()))
        for value in [
            *schema.get("examples", []),
            *(schema[n] for n in ("default",) if n in schema),
        ]
        for error in VALIDATOR.evolve(schema=schema).iter_errors(value)
    ]
    assert wrong == []


def keys_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of the file with its schema, in which references still lead somewhere."""
    models = {"": schema, **schema["$defs"]}
    for model, described in models.items():
        for name, key in described.get("properties", {}).items():
            yield f"{model}.{name}", {**key, "$defs": schema["$defs"]}
