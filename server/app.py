"""The composition root: a configuration becomes a running gateway. Decides nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import asyncpg
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from masking.scanning import ScanWorker
from policies.errors import BackendUnavailable, ConfigError
from recordings.journal import Journal
from recordings.store import Store
from server import allocator, embedded
from server.admission import Admission
from server.admission import opened as opened_admission
from server.admission.switch import KillSwitch
from server.api.agents import AgentsApi
from server.api.endpoints import Api
from server.api.endpoints import Login as ApiLogin
from server.api.native import NativeApi
from server.api.policy import PolicyApi
from server.api.recordings import StoredRecordings
from server.api.scan import ScanApi
from server.api.webhooks import WebhookApi
from server.approvals.approvals import Approvals
from server.approvals.desk import Desk
from server.backends import Backend
from server.catalog_watch import watch_catalogs
from server.config import Configuration, load
from server.console.console import console_url, open_console
from server.evidence import STORE_DATABASE, Evidence, anchor_files, recording
from server.explain import Explainer
from server.gate import Gate
from server.http_connection import BoundedConnection
from server.http_server import HttpServer, among_workers
from server.identity.certificates import ClientCertificates
from server.identity.fetch import open_http
from server.identity.oidc import IssuerSettings, Verifier
from server.identity.recorded import AdmittedVerifier, RecordedVerifier, admitted
from server.keys import KeyRing, Purpose
from server.mcp.door import (
    InFlight,
    McpSettings,
    Tasks,
    Timing,
    build,
    http_app,
    serve_stdio,
)
from server.mcp.identity import http_caller
from server.mcp.relayed import Relayed
from server.mcp.task_rows import StoredTasks
from server.names import searching_names
from server.native.desk import NativeDesk
from server.native.live import LiveSessions
from server.native.login import NativeLogin
from server.native.tokens import StoredTokens
from server.native_doors import native_doors
from server.parsing.analyst import Analyst
from server.parsing.pool import ParserPool, parsing
from server.policy_files import PolicyFiles
from server.previews.previews import Previews
from server.previews.stored import StoredPreviews
from server.pseudonym_keys import made_by, masker_of
from server.scanning.desk import ScanDesk
from server.targets import backend_of
from server.webhooks.desk import WebhookDesk
from server.webhooks.dispatcher import Dispatcher
from server.workers import HTTP, Worker

_log = logging.getLogger(__name__)

REAP_EVERY: Final = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that is ready to be put behind its doors."""

    configuration: Configuration
    keys: KeyRing
    store: Store
    journal: Journal
    gate: Gate
    desk: Desk
    verifier: RecordedVerifier
    webhooks: WebhookDesk
    switch: KillSwitch
    scanner: ScanWorker
    parsers: ParserPool
    live: LiveSessions
    native_login: NativeLogin

    def warm(self) -> None:
        """Start the processes that the first call would wait for; before the doors, they would."""
        self.parsers.begin()
        self.scanner.warm()

    @property
    def admitted(self) -> AdmittedVerifier:
        """For the doors that have words for who is blocked."""
        return AdmittedVerifier(self.verifier)

    @property
    def mcp_settings(self) -> McpSettings:
        gateway = self.configuration.gateway
        return McpSettings(
            public_url=gateway.public_url,
            keys=[key.secret for key in self.keys.keys[Purpose.REQUEST_STATE]],
            issuers=[i.issuer for i in self.configuration.identity.issuers],
            allowed_hosts=gateway.allowed_hosts,
            allowed_origins=gateway.allowed_origins,
            timing=Timing(hold=self.configuration.approvals.hold),
            version=version("ostiary"),
        )


@asynccontextmanager
async def running(configuration: Configuration) -> AsyncIterator[Running]:
    """Everything behind the doors, in the order in which it must be there."""
    async with AsyncExitStack() as lifetime:
        keys = KeyRing.load(configuration.keys)
        store = await _store(configuration, lifetime)
        recorded = recording(configuration.recordings, store, keys)
        evidence = await lifetime.enter_async_context(recorded)
        journal = evidence.journal
        parsers = await lifetime.enter_async_context(parsing(_dialects(configuration)))
        backends = await _backends(configuration, parsers, lifetime)
        expire_after = timedelta(seconds=configuration.approvals.expire_after)
        approvals = Approvals(store, journal, expire_after, console_url(configuration))
        await lifetime.enter_async_context(approvals.listening())
        scanner = await lifetime.enter_async_context(
            ScanWorker(
                workers=configuration.masking.workers,
                recheck=configuration.masking.recheck,
                recognition=configuration.masking.recognition(),
            )
        )
        names = await lifetime.enter_async_context(searching_names(configuration))
        masker = masker_of(keys, scanner, names, made_by(configuration))
        policies = PolicyFiles.of(configuration, backends)
        point = await policies.first(journal)
        admission, switch = await lifetime.enter_async_context(
            opened_admission(configuration.limits, store, journal)
        )
        gate = Gate(point, backends, approvals, journal, masker, admission)
        verifier = await _verifier(configuration, journal, admission, lifetime)
        await lifetime.enter_async_context(_background(gate, policies, evidence))
        await lifetime.enter_async_context(Previews(gate, StoredPreviews(store)).previewing())
        desk = Desk(gate, approvals, console_url(configuration))
        dispatcher = await lifetime.enter_async_context(
            Dispatcher.dispatching(store, approvals, journal, configuration.notifications)
        )
        webhooks = WebhookDesk(dispatcher)
        certificates = _certificates(configuration)
        live = LiveSessions(store, admission, certificates)
        await lifetime.enter_async_context(live.watching())
        yield Running(
            configuration,
            keys,
            store,
            journal,
            gate,
            desk,
            verifier,
            webhooks,
            switch,
            scanner,
            parsers,
            live,
            NativeLogin(AdmittedVerifier(verifier), StoredTokens(store), admission, certificates),
        )


async def serve(path: Path, tell: Callable[[str], None], worker: Worker | None = None) -> None:
    """Run every door of a configuration until SIGINT or SIGTERM; `worker`: as one of several.

    `tell` is called with a line about the doors once they are open.
    """
    configuration = load(path)
    async with running(configuration) as gateway, AsyncExitStack() as doors:
        if worker is not None:
            await doors.enter_async_context(worker.watching())
        login = gateway.native_login
        native = (gateway.gate, login.identify, gateway.live, login.certificates, worker)
        await doors.enter_async_context(native_doors(configuration, *native))
        console = await doors.enter_async_context(_console(gateway))
        await _serve_http(gateway, console, partial(tell, _doors(configuration)), worker)


def _certificates(configuration: Configuration) -> ClientCertificates | None:
    found = configuration.identity.certificates
    return ClientCertificates(found.name, found.authority, found.revoked) if found else None


async def stdio(path: Path) -> None:
    """Serve one MCP client on standard input and output; the token is in `OSTIARY_TOKEN`."""
    token = os.environ.pop("OSTIARY_TOKEN", "")
    if not token:
        raise ConfigError("OSTIARY_TOKEN is not set: put your token there, see `ostiary login`")
    async with running(load(path)) as gateway:
        gateway.warm()
        tasks = Tasks(StoredTasks(gateway.store))
        settings = gateway.mcp_settings
        await serve_stdio(gateway.desk, gateway.admitted, settings, tasks, token=token)
        # A client that closed the pipe soon sends SIGTERM; the recording is closed all the same.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _doors(configuration: Configuration) -> str:
    opened = [configuration.gateway.public_url]
    opened += [f"{each.protocol} at {each.listen}" for each in configuration.listeners]
    return f"serving {', '.join(opened)}"


async def _serve_http(
    gateway: Running, console: Sequence[Route], begun: Callable[[], None], worker: Worker | None
) -> None:
    settings = gateway.mcp_settings
    caller = admitted(http_caller, gateway.gate.admission)
    tasks, in_flight = Tasks(StoredTasks(gateway.store)), InFlight()
    server = build(gateway.desk, settings, tasks, in_flight=in_flight, caller=caller)
    api = _api(gateway)
    webhooks = WebhookApi(gateway.gate, gateway.webhooks, api.signed_in)
    agents = AgentsApi(gateway.gate, gateway.switch, api.signed_in)
    policy = _policy_api(gateway, api)
    scan = ScanApi(ScanDesk(gateway.gate, gateway.scanner), api.signed_in)
    native = NativeApi(_native_desk(gateway), api.signed_in)
    beside = (
        *api.routes(),
        *native.routes(),
        *webhooks.routes(),
        *agents.routes(),
        *policy.routes(),
        *console,
    )
    routes = [Route("/healthz", _healthy), *scan.routes(), *beside]
    note = gateway.gate.admission.repeats.note
    relayed = partial(Relayed, own=worker.number, place=worker.place) if worker else None
    app = http_app(server, gateway.verifier, settings, note, routes=routes, in_front=relayed)
    address, tls = gateway.configuration.gateway.listen, gateway.configuration.gateway.tls
    uvicorn_settings = uvicorn.Config(
        app,
        host=address.host,
        port=address.port or 0,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        log_level="error",  # its warnings are of what strangers send
        access_log=False,
        http=BoundedConnection,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # seconds; shorter than a client's own, calls meet a closing one
        timeout_graceful_shutdown=5,
    )
    gc.collect()
    gc.freeze()  # full collections over Cedar's and the SDK's objects cost 50 ms each
    gc.set_threshold(20_000, 20, 50)
    async with tasks.running():
        begins = (gateway.warm, begun)
        door = HttpServer(uvicorn_settings, begins=begins, end_calls=in_flight.stop)
        async with AsyncExitStack() as beside_it:
            if worker is not None:
                await beside_it.enter_async_context(among_workers(app, worker.place(worker.number)))
            await door.serve(worker.sockets(HTTP) if worker else None)


def _native_desk(gateway: Running) -> NativeDesk:
    tokens, settings = StoredTokens(gateway.store), gateway.configuration.tokens
    return NativeDesk(gateway.gate, tokens, gateway.live, settings)


def _console(gateway: Running) -> AbstractAsyncContextManager[Sequence[Route]]:
    return open_console(
        gateway.configuration,
        gateway.keys,
        gateway.store,
        journal=gateway.journal,
        desk=gateway.desk,
        admit=gateway.gate.admission.request,
        note=gateway.gate.admission.repeats.note,
    )


def _api(gateway: Running) -> Api:
    settings = gateway.mcp_settings
    issuers = gateway.configuration.identity.issuers
    return Api(
        verifier=gateway.admitted,
        gate=gateway.gate,
        approvals=gateway.desk,
        recordings=_recordings(gateway),
        explainer=Explainer(gateway.gate, gateway.store),
        logins=[ApiLogin(i.name, i.issuer, i.client_id) for i in issuers],
        resource=settings.resource,
        metadata_url=f"{settings.public_url.rstrip('/')}/.well-known/oauth-protected-resource/mcp",
    )


def _policy_api(gateway: Running, api: Api) -> PolicyApi:
    gate = gateway.gate
    explainer = Explainer(gate, gateway.store)
    targets = [backend.target for backend in gate.backends.values()]
    return PolicyApi(gate, explainer, _recordings(gateway), targets, api.signed_in)


def _recordings(gateway: Running) -> StoredRecordings:
    witness = anchor_files(gateway.configuration.recordings, gateway.keys)
    return StoredRecordings(gateway.store, gateway.keys, witness)


async def _healthy(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def _store(configuration: Configuration, lifetime: AsyncExitStack) -> Store:
    if configuration.store.url is not None:
        dsn = configuration.store.url.resolve()
    else:
        server = await embedded.start(configuration.state / "postgres")
        lifetime.push_async_callback(server.stop)
        await _ensure_database(server.dsn("postgres"), STORE_DATABASE)
        dsn = server.dsn(STORE_DATABASE)
    store = await Store.open(dsn)
    lifetime.push_async_callback(store.close)
    return store


async def _ensure_database(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        known = await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name)
        with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            if not known:  # another gateway may just be making it
                await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


def _dialects(configuration: Configuration) -> Sequence[str]:
    return sorted({target.kind for target in configuration.targets.values()})


async def _backends(
    configuration: Configuration, analyst: Analyst, lifetime: AsyncExitStack
) -> Mapping[str, Backend]:
    backends = {}
    for name, target in configuration.targets.items():
        backends[name] = backend_of(name, target, analyst)
        lifetime.push_async_callback(backends[name].connector.close)
    return backends


async def _verifier(
    configuration: Configuration,
    journal: Journal,
    admission: Admission,
    lifetime: AsyncExitStack,
) -> RecordedVerifier:
    issuers = [
        IssuerSettings(
            name=i.name,
            issuer=i.issuer,
            audience=i.audience,
            groups_claim=i.groups_claim,
            agent_claim=i.agent_claim,
            name_claim=i.name_claim,
            algorithms=i.algorithms,
            client_id=i.client_id,
        )
        for i in configuration.identity.issuers
    ]
    http = await lifetime.enter_async_context(open_http())
    verifier = Verifier(issuers, http=http)
    lifetime.push_async_callback(verifier.aclose)
    return RecordedVerifier(verifier, journal, admission)


@asynccontextmanager
async def _background(gate: Gate, policies: PolicyFiles, evidence: Evidence) -> AsyncIterator[None]:
    """What goes on beside the calls: closing dead sessions, and taking new policies in.

    What ends the gateway comes out as it is: the command line has words for it, and none for a
    group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            catalogs = watch_catalogs(gate)
            beside = allocator.give_back(), _reap(gate.journal), policies.watch(gate)
            works = *beside, catalogs, *evidence.works()
            tasks = [group.create_task(work) for work in works]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as raised:
        if len(raised.exceptions) > 1:
            raise
        raise raised.exceptions[0] from None


async def _reap(journal: Journal) -> None:
    while True:
        await asyncio.sleep(REAP_EVERY)
        with suppress(BackendUnavailable):
            await journal.reap()
