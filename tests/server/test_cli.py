"""The `ostiary` command as it is typed: against the real API over HTTP, in this process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from policies.errors import ProtocolError
from policies.model import Channel
from recordings.export import ndjson_line
from server.cli import main
from server.commands.sessions import stored_record
from server.identity.demo import CLIENT_ID, DemoProvider
from server.identity.demo_routes import DemoRoutes
from server.identity.token_store import StoredToken, TokenStore
from tests.recordings.samples import stored
from tests.server.api.world import BAD, RECORDS, RITA, TICKET, VICTOR, World
from tests.server.identity.browser import press
from tests.server.identity.serving import Stage, listening, serving, url_of

ROOT = Path(__file__).parents[2]


@dataclass
class Printed:
    code: int
    out: str
    err: str


Ostiary = Callable[..., Printed]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with listening() as listener:
        stage = Stage(url_of(listener))
        with serving(stage, listener):
            yield stage


@pytest.fixture
def world(stage: Stage) -> World:
    world = World()
    stage.app = world.app()
    return world


@pytest.fixture
def ostiary(
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ostiary:
    """Runs a command as Victor, the reviewer, unless it says otherwise."""
    monkeypatch.setenv("OSTIARY_GATEWAY", stage.url)
    monkeypatch.setenv("OSTIARY_TOKEN", "victor-token")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, token: str | None = "victor-token") -> Printed:
        if token is None:
            monkeypatch.delenv("OSTIARY_TOKEN", raising=False)
        else:
            monkeypatch.setenv("OSTIARY_TOKEN", token)
        try:
            code = main(arguments)
        except SystemExit as left:
            code = int(left.code or 0)
        out, err = capsys.readouterr()
        return Printed(code, out, err)

    return run


COMMANDS = [
    "init",
    "check",
    "serve",
    "mcp",
    "demo",
    "login",
    "token",
    "whoami",
    "approvals list",
    "approvals watch",
    "approvals show",
    "approvals approve",
    "approvals deny",
    "approvals withdraw",
    "approvals revoke",
    "sessions list",
    "sessions show",
    "sessions replay",
    "sessions verify",
    "sessions export",
    "policy check",
    "policy explain",
    "webhooks list",
    "webhooks failed",
    "webhooks retry",
    "webhooks test",
    "keys list",
    "keys rotate",
    "keys drop",
    "keys add-missing",
    "config schema",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_teaches_itself_with_an_example(ostiary: Ostiary, command: str) -> None:
    printed = ostiary(*command.split(), "--help")
    assert printed.code == 0
    assert f"ostiary {command}" in printed.out.split("example:")[1]


def test_the_help_names_every_command(ostiary: Ostiary) -> None:
    printed = ostiary("--help")
    assert printed.code == 0
    listed = set(re.findall(r"^    ([a-z]+)", printed.out, re.MULTILINE))
    assert listed >= {command.split()[0] for command in COMMANDS}


def test_the_version_is_printed(ostiary: Ostiary) -> None:
    assert re.fullmatch(r"ostiary \S.*\n", ostiary("--version").out)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["approvals"],
        ["aprovals", "list"],
        ["approvals", "show"],
        ["approvals", "list", "--stat", "pending"],
        ["approvals", "list", "--state", "maybe"],
        ["sessions", "export", "s-1", "--format", "xml"],
        ["policy", "check"],
        ["policy", "check", "policies", "--config", "x.yaml"],
        ["policy", "explain", "SELECT 1"],
        ["login", "--device", "--no-browser"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_ends_with_2(ostiary: Ostiary, arguments: list[str]) -> None:
    printed = ostiary(*arguments)
    assert printed.code == 2
    assert "usage: ostiary" in printed.err


def test_the_help_loads_nothing_of_the_gateway() -> None:
    program = (
        "import sys; from server.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'mcp', 'uvicorn', 'asyncpg', 'httpx2', 'pydantic', 'cryptography', 'yaml'}\n"
        "sys.exit(f'loaded: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_whoami(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("whoami")
    assert printed.code == 0
    assert "demo:victor" in printed.out
    assert "auditors, dba" in printed.out


def test_approvals_are_listed(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("approvals", "list", "--state", "pending")
    assert (printed.code, printed.err) == (0, "")
    assert "ap_1" in printed.out
    assert TICKET.text in printed.out
    assert "(none)" in ostiary("approvals", "list", "--state", "used").out


def test_an_approval_is_shown_with_everything_that_it_binds(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("approvals", "show", "ap_1")
    assert printed.code == 0
    wanted = (TICKET.text, TICKET.digest, "NULL", "fix a typo", *TICKET.facts, *TICKET.policies)
    assert [text for text in wanted if text not in printed.out] == []


HOSTILE = "SELECT 1 \x1b[2J\x9b2J \u202e drop \u200b\r\x07 --\x1b]0;title\x07\ud7ff"


def test_what_a_requester_wrote_cannot_move_the_reviewers_cursor(
    ostiary: Ostiary, world: World
) -> None:
    forged = replace(
        TICKET,
        text=HOSTILE + "\nstate:       approved",
        reason=HOSTILE,
        requester=HOSTILE,
        facts=(HOSTILE,),
        parameters=(HOSTILE,),
    )
    world.approvals.tickets["ap_1"] = forged
    for command in (["list"], ["show", "ap_1"]):
        out = ostiary("approvals", *command).out
        assert not set(out) & set("\x1b\x9b\x07\r\u202e\u200b")
        assert "\\x1b" in out
    lines = ostiary("approvals", "show", "ap_1").out.splitlines()
    assert [line for line in lines if line.startswith("state:")] == ["state:       pending"]


def test_a_reviewer_approves_with_a_comment(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("approvals", "approve", "ap_1", "--comment", "checked")
    assert (printed.code, printed.out) == (0, "ap_1 is approved.\n")
    assert world.approvals.decided == [(VICTOR.id, "ap_1", True, "checked", Channel.API)]


def test_a_reviewer_denies(ostiary: Ostiary, world: World) -> None:
    assert ostiary("approvals", "deny", "ap_1").out == "ap_1 is denied.\n"
    assert world.approvals.decided == [(VICTOR.id, "ap_1", False, "", Channel.API)]


def test_a_requester_withdraws_and_a_reviewer_revokes(ostiary: Ostiary, world: World) -> None:
    withdrawn = ostiary("approvals", "withdraw", "ap_1", "--comment", "a typo", token="rita-token")
    assert (withdrawn.code, withdrawn.out) == (0, "ap_1 is withdrawn.\n")
    revoked = ostiary("approvals", "revoke", "ap_1")
    assert (revoked.code, revoked.out) == (0, "ap_1 is revoked.\n")
    assert [ended[:4] for ended in world.approvals.ended] == [
        (RITA.id, "ap_1", "withdrawn", "a typo"),
        (VICTOR.id, "ap_1", "revoked", ""),
    ]


def test_what_is_still_needed_who_decided_and_the_page_are_shown(
    ostiary: Ostiary, world: World
) -> None:
    world.approvals.tickets["ap_1"] = replace(
        TICKET,
        url="https://gateway.example/approvals/ap_1",
        progress=("two-people: 1 more of dba",),
        decisions=("Vera approved (api, cli) at noon",),
        may_revoke=True,
    )
    lines = ostiary("approvals", "show", "ap_1").out.splitlines()
    wanted = {
        "needed:      two-people: 1 more of dba",
        "decisions:   Vera approved (api, cli) at noon",
        "page:        https://gateway.example/approvals/ap_1",
        "you may:     revoke",
    }
    assert wanted <= set(lines)


def test_a_refusal_says_why_and_what_next_and_ends_with_1(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("approvals", "approve", "ap_1", token="rita-token")
    assert printed.code == 1
    assert printed.out == ""
    assert "APPROVAL_NOT_YOURS" in printed.err
    assert "next: Ask an auditor." in printed.err


@pytest.mark.parametrize("ticket", ["ap_2", "../sessions", "a/b", "?x", "\n"])
def test_an_unknown_ticket_ends_with_1(ostiary: Ostiary, world: World, ticket: str) -> None:
    printed = ostiary("approvals", "show", ticket)
    assert printed.code == 1
    assert "Traceback" not in printed.err


def test_sessions_are_listed(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("sessions", "list")
    assert printed.code == 0
    assert "s-1" in printed.out
    assert "interrupted" in printed.out


def test_one_session_is_shown(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("sessions", "show", "s-1")
    assert "Ann (corp:ann)" in printed.out
    assert "shop" in printed.out


def test_a_session_is_replayed_without_its_escape_sequences(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("sessions", "replay", "s-1")
    assert (printed.code, printed.err) == (0, "")
    assert "SELECT id, email" in printed.out
    assert "\\x1b[2Jevil@example.com" in printed.out
    assert not set(printed.out) & set("\x1b\u202e")


def test_an_export_is_byte_for_byte_what_was_recorded(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("sessions", "export", "s-1", "--format", "ndjson")
    assert printed.code == 0
    assert printed.out.encode() == b"".join(map(ndjson_line, RECORDS))


@pytest.mark.parametrize("command", ["replay", "export"])
def test_a_recording_that_breaks_off_is_not_taken_for_the_whole(
    ostiary: Ostiary, world: World, command: str
) -> None:
    world.recordings.breaks_after = 2
    printed = ostiary("sessions", command, "s-1")
    assert printed.code == 1
    assert "broke off" in printed.err


def test_verify_ends_with_0_only_if_all_is_good(ostiary: Ostiary, world: World) -> None:
    good = ostiary("sessions", "verify")
    world.recordings.verdict = BAD
    bad = ostiary("sessions", "verify")
    assert (good.code, bad.code) == (0, 1)
    assert "7 records" in good.out
    assert "stream 7, record 3: the hash is another" in bad.out


def test_recordings_are_refused_to_whoever_may_not_read_them(
    ostiary: Ostiary, world: World
) -> None:
    for command in (["list"], ["show", "s-1"], ["replay", "s-1"], ["export", "s-1"], ["verify"]):
        printed = ostiary("sessions", *command, token="rita-token")
        assert (printed.code, printed.out) == (1, "")
        assert "POLICY_DENIED" in printed.err


def test_policy_is_explained_for_somebody(ostiary: Ostiary, world: World) -> None:
    permitted = ostiary("policy", "explain", "--as", "rita", "--target", "shop", "SELECT 1")
    refused = ostiary("policy", "explain", "--as", "rita", "--target", "shop", "DROP TABLE t")
    assert (permitted.code, refused.code) == (0, 1)
    assert "permit" in permitted.out
    assert "deny" in refused.out
    assert [who.id for who, _, _ in world.explainer.asked] == ["demo:rita"] * 2


def test_without_a_token_one_is_told_to_sign_in(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("whoami", token=None)
    assert printed.code == 1
    assert "ostiary login" in printed.err


def test_a_token_that_does_not_hold_says_so_without_showing_it(
    ostiary: Ostiary, world: World
) -> None:
    printed = ostiary("whoami", token="canary-token")
    assert printed.code == 1
    assert "ostiary login" in printed.err
    assert "canary-token" not in printed.out + printed.err


def test_a_token_with_odd_characters_is_never_sent(ostiary: Ostiary, world: World) -> None:
    printed = ostiary("whoami", token="a\r\nX-Evil: canary")
    assert printed.code == 1
    assert "canary" not in printed.err


def test_the_token_in_the_environment_wins(
    ostiary: Ostiary, world: World, stage: Stage, tmp_path: Path
) -> None:
    store = TokenStore(tmp_path / "configuration" / "ostiary" / "tokens")
    store.save(StoredToken(stage.url, "rita-token", None))
    assert ostiary("token").out == "victor-token\n"
    assert ostiary("token", token=None).out == "rita-token\n"
    assert "demo:rita" in ostiary("whoami", token=None).out


def test_a_stored_token_goes_to_its_own_gateway_only(
    ostiary: Ostiary, world: World, stage: Stage, tmp_path: Path
) -> None:
    store = TokenStore(tmp_path / "configuration" / "ostiary" / "tokens")
    store.save(StoredToken("https://other.example.com", "rita-token", None))
    assert ostiary("token", token=None).code == 1


def test_an_expired_token_is_not_used(
    ostiary: Ostiary, world: World, stage: Stage, tmp_path: Path
) -> None:
    store = TokenStore(tmp_path / "configuration" / "ostiary" / "tokens")
    store.save(StoredToken(stage.url, "rita-token", 1.0))
    printed = ostiary("whoami", token=None)
    assert printed.code == 1
    assert "expired" in printed.err


@pytest.mark.parametrize(
    "url", ["http://gateway.example", "ftp://127.0.0.1", "gateway", "http://u:p@127.0.0.1"]
)
def test_a_token_is_never_sent_in_the_clear(ostiary: Ostiary, url: str) -> None:
    printed = ostiary("whoami", "--gateway", url)
    assert printed.code == 1
    assert "--gateway" in printed.err


def test_a_gateway_that_is_away_is_named(ostiary: Ostiary) -> None:
    with listening() as listener:
        url = url_of(listener)
    printed = ostiary("whoami", "--gateway", url)
    assert printed.code == 1
    assert url in printed.err


def test_a_redirect_is_not_followed_with_the_token(ostiary: Ostiary, stage: Stage) -> None:
    asked: list[str | None] = []

    async def elsewhere(request: Request) -> Response:
        asked.append(request.headers.get("authorization"))
        return JSONResponse({})

    async def redirect(_request: Request) -> Response:
        return RedirectResponse(f"{stage.url}/elsewhere")

    routes = [Route("/api/whoami", redirect), Route("/elsewhere", elsewhere)]
    stage.app = Starlette(routes=routes)
    assert ostiary("whoami").code == 1
    assert asked == []


def test_login_keeps_the_token_for_the_next_command(
    ostiary: Ostiary, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = DemoProvider(directory=tmp_path / "state", issuer=stage.url, audience="r")

    async def login(_request: Request) -> Response:
        issuer = {"name": "demo", "issuer": stage.url, "client_id": CLIENT_ID}
        return JSONResponse({"resource": "r", "issuers": [issuer]})

    demo = DemoRoutes(provider).app()
    stage.app = Starlette(routes=[Route("/api/login", login), Mount("/", demo)])
    visits: list[threading.Thread] = []

    def opened(url: str) -> bool:
        visits.append(threading.Thread(target=asyncio.run, args=(visit(url),)))
        visits[-1].start()
        return True

    monkeypatch.setattr(webbrowser, "open", opened)
    printed = ostiary("login", token=None)
    visits[0].join(timeout=10)
    assert printed.code == 0, printed.err
    token = ostiary("token", token=None).out.strip()
    assert token.count(".") == 2
    assert token not in printed.out


async def visit(url: str) -> None:
    """What the person does in the browser."""
    async with httpx2.AsyncClient(trust_env=False) as browser:
        answer = await press(browser, url, "victor")
        await browser.get(answer.headers["location"])


def test_init_writes_a_configuration_and_private_keys(ostiary: Ostiary, tmp_path: Path) -> None:
    printed = ostiary("init", "gateway")
    assert printed.code == 0
    assert (tmp_path / "gateway" / "ostiary.yaml").exists()
    keys = tmp_path / "gateway" / "state" / "keys.json"
    assert keys.stat().st_mode & 0o077 == 0


def test_init_keeps_what_is_there(ostiary: Ostiary, tmp_path: Path) -> None:
    (tmp_path / "ostiary.yaml").write_text("mine")
    assert ostiary("init").code == 0
    keys = (tmp_path / "state" / "keys.json").read_bytes()
    assert ostiary("init").code == 1
    assert (tmp_path / "ostiary.yaml").read_text() == "mine"
    assert (tmp_path / "state" / "keys.json").read_bytes() == keys


def test_check_takes_what_init_wrote_once_its_secrets_are_there(
    ostiary: Ostiary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ostiary("init")
    without = ostiary("check")
    monkeypatch.setenv("SHOP_READER_PASSWORD", "canary-1")
    monkeypatch.setenv("SHOP_WRITER_PASSWORD", "canary-2")
    with_secrets = ostiary("check", "--config", "ostiary.yaml")
    assert without.code == 1
    assert "SHOP_READER_PASSWORD" in without.err
    assert with_secrets.code == 0, with_secrets.err
    assert "canary" not in with_secrets.out


def test_check_names_file_and_line(ostiary: Ostiary, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("gateway:\n  listne: 127.0.0.1:8000\n")
    printed = ostiary("check", "wrong.yaml")
    assert printed.code == 1
    assert "wrong.yaml:2" in printed.err


def test_a_reader_who_has_had_enough_is_no_error(world: World, stage: Stage) -> None:
    program = "import sys; from server.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"OSTIARY_GATEWAY": stage.url, "OSTIARY_TOKEN": "victor-token"}
    world.recordings.records_of["s-1"] = [
        stored("anything", {"text": "x" * 1000}, at=n) for n in range(500)
    ]
    with subprocess.Popen(
        [sys.executable, "-c", program, "sessions", "replay", "s-1"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "body",
    [b"", b"a line\nand another", b"\xff\xfe\x00", None],
    ids=["none", "text", "bytes", "gone"],
)
def test_a_record_survives_its_export(body: bytes | None) -> None:
    record = stored("intent", {"action": {"kind": "SqlStatement"}}, body)
    assert stored_record(ndjson_line(record)) == record


@pytest.mark.parametrize("line", ["", "{}", "[]", json.dumps({"stream": "1"})])
def test_a_line_that_is_no_record_is_refused(line: str) -> None:
    with pytest.raises(ProtocolError):
        stored_record(line.encode())


def test_the_starter_policies_load(ostiary: Ostiary) -> None:
    printed = ostiary("policy", "check", "starter")
    assert printed.code == 0, printed.err


def test_a_policy_that_does_not_load_is_named_with_its_file(
    ostiary: Ostiary, tmp_path: Path
) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "own.cedar").write_text('@id("mine")\npermit (principal, action, resource);\n')
    printed = ostiary("policy", "check", str(policies))
    assert printed.code == 1
    assert "own.cedar" in printed.err
    assert "mine" in printed.err


def test_a_directory_without_policies_is_refused(ostiary: Ostiary, tmp_path: Path) -> None:
    assert ostiary("policy", "check", str(tmp_path)).code == 1
