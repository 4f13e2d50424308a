"""Certificates that change while a listener runs: the next connection gets the new one."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.native_doors import Encryption, renewing
from tests.e2e.certificates import Certificates

pytestmark = pytest.mark.anyio


async def shown(tls: ssl.SSLContext) -> str:
    """The certificate that a client of a server with this context is shown."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls)
    async with server:
        host, port = server.sockets[0].getsockname()
        return await asyncio.to_thread(ssl.get_server_certificate, (host, port))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_new_pair_is_taken_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("live", "next"):
        (tmp_path / name).mkdir()
    live, following = (Certificates.make(tmp_path / name) for name in ("live", "next"))
    encryption = Encryption(live.certificate, live.key)
    first = encryption.context()
    door: Any = SimpleNamespace(tls=first)
    caplog.set_level(logging.INFO, "ostiary.native_doors")
    async with renewing(cast("Any", door), encryption, encryption.files(), every=0.01):
        old = await shown(door.tls)
        # The new certificate with the old key, then no certificate at all, then one of nobody's.
        shutil.copy(following.certificate, live.certificate)
        await until(lambda: "KEY_VALUES_MISMATCH" in caplog.text or "kept" in caplog.text)
        assert await shown(door.tls) == old
        live.certificate.unlink()
        await until(lambda: caplog.text.count("kept") == 2)
        live.certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
        await until(lambda: caplog.text.count("kept") >= 3)
        assert door.tls is first
        assert await shown(door.tls) == old
        shutil.copy(following.key, live.key)
        shutil.copy(following.certificate, live.certificate)
        await until(lambda: "is taken" in caplog.text)
        assert await shown(door.tls) == following.certificate.read_text()
