"""`make bench-native`: the MySQL door beside HAProxy, which passes bytes on and reads none of them.

sysbench's point selects, 16 clients, as text and prepared, over TLS: through the gateway with
policy and recording on, and through HAProxy, behind which MariaDB itself speaks TLS (the protocol
begins in clear, so HAProxy can't). Prints the median of the rounds. Ends with 1 if a bound is
missed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from server.system_account import account
from tests.bench.calls import cores, on, postgres
from tests.bench.proxies import CLIENTS, Load, Proxy, measure
from tests.e2e.certificates import Certificates
from tests.e2e.world import build, free_port, tear_down
from tests.fixtures.mariadb import MariaDbServer, serving_over_tls
from tests.fixtures.postgres import PostgresServer

ROWS: Final = 100_000
DURABLE: Final = 0.6
BEST_EFFORT: Final = 0.9
PASSWORD: Final = "gateway-password"
FORMS: Final = {"text": "disable", "prepared": "auto"}
_RATE: Final = re.compile(r"transactions: +\d+ +\(([0-9.]+) per sec")
_FAILED: Final = re.compile(r"ignored errors: +0 ")
TABLES: Final = f"""
CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
CREATE TABLE sbtest1
  (id INT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL);
INSERT INTO sbtest1 SELECT seq, seq % 999, REPEAT('c', 119), REPEAT('p', 59) FROM seq_1_to_{ROWS};
CREATE USER gateway IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO gateway;
"""


def _command(form: str, seconds: int) -> list[str]:
    test = ["sysbench", "oltp_point_select", "--db-driver=mysql", "--mysql-ssl=on"]
    size = ["--tables=1", f"--table-size={ROWS}", f"--threads={CLIENTS}", f"--time={seconds}"]
    return [*test, *size, "--mysql-host=127.0.0.1", f"--db-ps-mode={FORMS[form]}", "run"]


def _rate(printed: str) -> float | None:
    found = _RATE.search(printed)
    return float(found[1]) if found and _FAILED.search(printed) else None


LOAD: Final = Load(f"sysbench, {CLIENTS} clients", tuple(FORMS), _command, _rate)


def _clients(port: int, user: str, password: str, database: str) -> list[str]:
    names = [f"--mysql-user={user}", f"--mysql-password={password}", f"--mysql-db={database}"]
    return [f"--mysql-port={port}", *names]


@contextmanager
def haproxy(directory: Path, server: MariaDbServer, core: set[int]) -> Iterator[Proxy]:
    port, configuration = free_port(), directory / "haproxy.cfg"
    configuration.write_text(
        "global\n  nbthread 1\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"
        f"listen mysql\n  bind 127.0.0.1:{port}\n  server database 127.0.0.1:{server.port}\n"
    )
    who = account()
    with on(core):
        process = subprocess.Popen(
            ["haproxy", "-q", "-f", str(configuration)], user=who.uid, group=who.gid
        )
    time.sleep(1)
    try:
        arguments = _clients(port, "gateway", PASSWORD, "shop")
        yield Proxy("HAProxy", process.pid, LOAD, arguments=arguments, directory=directory)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def gateway(
    directory: Path,
    store: PostgresServer,
    server: MariaDbServer,
    tls: Certificates,
    core: set[int],
    recording: str,
) -> Iterator[Proxy]:
    directory.joinpath(recording).mkdir()
    world = build(directory / recording, store, f"native_mysql_{recording}")
    login = {"user": "gateway", "password": "env:E2E_MYSQL_PASSWORD"}
    place = {"address": f"unix:{server.socket}", "database": "shop", "tls": "disable"}
    shop = {
        "kind": "mariadb",
        "environment": "production",
        "reader": login,
        "writer": login,
        "recording": recording,
        **place,
    }
    door = {"protocol": "mysql", "listen": f"127.0.0.1:{world.listener}", "tls": tls.document}
    world.settings = {**world.settings, "targets": {"shop": shop}, "listeners": [door]}
    world.variables = {**world.variables, "E2E_MYSQL_PASSWORD": PASSWORD}
    try:
        with on(core):
            world.start()
        arguments = _clients(world.listener, "rita", world.token("rita", seconds=6000), "shop")
        pid = world.process.pid if world.process else 0
        yield Proxy(recording, pid, LOAD, arguments=arguments, directory=directory)
    finally:
        tear_down(world)


def _for_clients(directory: Path, tls: Certificates) -> None:
    """sysbench reads these names, and none other, from where it is started."""
    shutil.copy(tls.authority, directory / "cacert.pem")
    shutil.copy(tls.certificate, directory / "client-cert.pem")
    shutil.copy(tls.key, directory / "client-key.pem")


def main() -> int:
    core, rest = cores()
    with (
        on(rest),
        tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as place,
        postgres(Path(place) / "postgres") as store,
        serving_over_tls() as server,
    ):
        directory = Path(place)
        directory.chmod(0o711)
        tls = Certificates(
            *(server.home / f"{name}.pem" for name in ("authority", "certificate", "key"))
        )
        _for_clients(directory, tls)
        server.run(TABLES)
        with (
            gateway(directory, store, server, tls, core, "durable") as durable,
            gateway(directory, store, server, tls, core, "best_effort") as best_effort,
            haproxy(directory, server, core) as beside,
        ):
            bounds = {"durable": DURABLE, "best_effort": BEST_EFFORT}
            return 0 if measure([durable, best_effort], beside, bounds) else 1


if __name__ == "__main__":
    sys.exit(main())
