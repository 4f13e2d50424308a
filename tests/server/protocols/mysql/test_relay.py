"""One client's commands at the MySQL door, without a server: none is needed for these."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

from server.protocols.mysql import commands as m
from server.protocols.mysql.client import Client
from server.protocols.mysql.codec import FrontendReader, FrontendState
from server.protocols.mysql.native import MysqlNativeConnection
from server.protocols.mysql.packets import framed
from server.protocols.mysql.relay import Relay

pytestmark = pytest.mark.anyio

COMMANDS = 500
"""Their answers are taken in unread."""
NOBODY = cast(Any, None)  # neither the gate nor a server is asked


async def test_what_nothing_is_waited_for_holds_up_nobody() -> None:
    ours, theirs = socket.socketpair()
    client = Client(
        *await asyncio.open_connection(sock=ours), FrontendReader(state=FrontendState.READY)
    )
    relay = Relay(client, NOBODY, MysqlNativeConnection(*[NOBODY] * 5), NOBODY, 60.0)
    client.codec.receive_data(framed(m.Statistics().encode(0), 0) * COMMANDS)
    client.codec.receive_data(framed(m.Quit().encode(0), 0))
    serving, turns = asyncio.create_task(relay.serve()), 0
    while not serving.done():
        turns += 1
        await asyncio.sleep(0)
    await serving
    theirs.close()
    await client.close()
    assert turns > COMMANDS
