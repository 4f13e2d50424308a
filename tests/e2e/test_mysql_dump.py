"""mariadb-dump through the MySQL door: it ends well, and what it writes is masked."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.e2e.mysql_door import SECRETS, here, stock
from tests.e2e.world import World

__all__ = ["here", "stock"]

pytestmark = [pytest.mark.programs, pytest.mark.gateways]

PLAIN = ("--no-defaults", "--skip-ssl", "--skip-lock-tables", "--no-tablespaces")


def test_a_dump_of_tables_is_whole_and_masked(here: World) -> None:
    program = shutil.which("mariadb-dump")
    if program is None:
        pytest.skip("mariadb-dump is not installed")
    place = ("-h127.0.0.1", f"-P{here.listener}", "-uanybody+stock-prod")
    run = subprocess.run(
        [program, *PLAIN, "--single-transaction", *place, "stock", "suppliers", "orders"],
        capture_output=True,
        text=True,
        env={"MYSQL_PWD": here.token("rita")},
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("CREATE TABLE `") == 2
    orders = run.stdout[run.stdout.index("INSERT INTO `orders`") :]
    assert orders.count("),\n(") == 49
    assert "INSERT INTO `suppliers`" in run.stdout
    assert "***@example.com" in run.stdout
    assert not [secret for secret in SECRETS if secret in run.stdout]
