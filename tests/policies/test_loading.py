"""Policy sets that must not load, and what their errors say."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.cedar import load
from policies.errors import ConfigError

SELECT = 'forbid (principal, action == Action::"sql.select", resource)'


def error(directory: Path, text: str) -> str:
    (directory / "rules.cedar").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load(directory, targets={"shop"}, labels={"pii"}, groups={"dba"})
    return str(raised.value)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ('@id("x") permit (principal, action', "does not parse"),
        ('@id("x") @id("y") permit (principal, action, resource);', "duplicate annotation"),
        ('@id("x") permit (principal == ?principal, action, resource);', "templates"),
        ("forbid (principal, action, resource);", "needs an @id"),
        ('@id("") forbid (principal, action, resource);', "needs an @id"),
        ('@id("built-in") forbid (principal, action, resource);', "needs an @id"),
        ('@id("x") permit (principal, action, resource);', "permits everything"),
        ('@id("x") permit (principal, action, resource) when { true };', "permits everything"),
        (f'@id("x") @aprove("dba") {SELECT};', "unknown annotation @aprove"),
        ('@id("x") @mask("pii") permit (principal in Group::"a", action, resource);', "@mask on"),
        (f'@id("x") @row_limit("many") {SELECT};', "no positive whole number"),
        (f'@id("x") @row_limit("0") {SELECT};', "no positive whole number"),
        (f'@id("x") @timeout("15") {SELECT};', "is no time"),
        (f'@id("x") @approve("dba,") {SELECT};', "must name one or more"),
        (f'@id("x") @approve("dba") @approvals("0") {SELECT};', "no number of people"),
        (f'@id("x") @approve("dba") @approvals("11") {SELECT};', "no number of people"),
        (f'@id("x") @approve("dba") @approvals("two") {SELECT};', "no number of people"),
        (f'@id("x") @approve("dba") @approvals("02") {SELECT};', "no number of people"),
        (f'@id("x") @approvals("2") {SELECT};', "write both"),
        (f'@id("x") @mask("pii") @approvals("2") {SELECT};', "write both"),
        (f'@id("x") @approve("self, dba") @approvals("2") {SELECT};', '@approve("self")'),
        (f'@id("x") @approve("dbas") {SELECT};', "dbas, which is no group"),
        ('@id("x") forbid (principal, action, resource in Target::"shp");', 'Target::"shp"'),
        ('@id("x") forbid (principal, action == Action::"sql.selct", resource);', "sql.selct"),
        (f'@id("x") {SELECT} when {{ context.sql.lables.isEmpty() }};', "lables"),
        (f'@id("x") {SELECT} when {{ context.request.reason == "y" }};', "reason"),
    ],
)
def test_an_error_names_file_line_policy_and_problem(
    tmp_path: Path, policy: str, says: str
) -> None:
    first = '// a comment; with a semicolon\n@id("first")\n@mask("pii")\n' + SELECT + ";\n\n"
    message = error(tmp_path, first + policy)
    assert message.startswith(f"{tmp_path / 'rules.cedar'}:6: ")
    assert says in message
    if "needs an @id" not in says:
        assert "policy x:" in message


def test_a_second_policy_of_the_same_id_is_refused_with_the_place_of_the_first(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.cedar").write_text(f'@id("same") @mask("pii") {SELECT};', encoding="utf-8")
    message = error(tmp_path, f'\n@id("same") {SELECT};')
    assert message.startswith(f"{tmp_path / 'rules.cedar'}:2: policy same:")
    assert f"{tmp_path / 'a.cedar'}:1" in message


def test_a_label_that_no_policy_masks_is_named(tmp_path: Path) -> None:
    assert "'pii'" in error(tmp_path, f'@id("x") @mask("secret") {SELECT};')


def test_a_directory_without_policies_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \*\.cedar files"):
        load(tmp_path, targets=set(), labels=())


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rules.cedar").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path, targets=set(), labels=())


def test_a_semicolon_in_a_string_does_not_end_a_policy(tmp_path: Path) -> None:
    (tmp_path / "rules.cedar").write_text(
        f'@id("x") @reason("No; \\"never\\" // ever.") {SELECT};\n@id("y")\n{SELECT};',
        encoding="utf-8",
    )
    point = load(tmp_path, targets={"shop"}, labels=())
    assert point.location("x") == f"{tmp_path / 'rules.cedar'}:1"
    assert point.location("y") == f"{tmp_path / 'rules.cedar'}:2"
