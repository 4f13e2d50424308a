"""A door's defect ends the connection that met it: on the loop that gateways run on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import pytest
import uvloop

from server.protocols.mysql import listener as mysql
from server.protocols.postgres import frontend as f
from server.protocols.postgres import listener as postgres

NOBODY = cast(Any, None)  # a gate, and who tells who is who: neither is reached
HELLO = f.StartupMessage(f.PROTOCOL_3_0, (("user", "ada"),)).encode()


@pytest.mark.parametrize(
    ("door", "opened"),
    [(postgres, postgres.PostgresListener), (mysql, mysql.MysqlListener)],
    ids=["postgres", "mysql"],
)
def test_who_meets_a_defect_of_the_door_is_not_left_waiting(
    door: ModuleType,
    opened: Callable[..., postgres.PostgresListener | mysql.MysqlListener],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    arrived, kept = door.arrived, list[Any]()

    async def broken(*arguments: object) -> None:
        kept.append(await arrived(*arguments))
        raise RuntimeError("a defect, once a transport has hold of the socket")

    async def left_waiting() -> None:
        async with opened(NOBODY, NOBODY).serving("127.0.0.1", 0) as (host, port):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(HELLO)
            async with asyncio.timeout(10):
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await reader.readexactly(10_000)
            writer.close()
            await kept[0].close()

    monkeypatch.setattr(door, "arrived", broken)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(left_waiting())
    (said,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert said.exc_info is not None
    assert said.exc_info[0] is RuntimeError
