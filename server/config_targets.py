"""What the configuration says of each target, by its kind."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config_values import (
    BackendAddress,
    Column,
    Duration,
    FileReference,
    MaskOperator,
    Name,
    RoleName,
    SecretReference,
)
from server.masking_settings import NamesInColumn
from server.native.settings import SessionLimits


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


class Account(_Model):
    """A role of the target's that only the gateway has the password of."""

    user: RoleName = Field(examples=["ostiary_reader"])
    password: SecretReference = Field(examples=["env:SHOP_READER_PASSWORD"])


class ColumnRule(_Model):
    """A label on a column, and the mask that policies of that label put on it."""

    column: Column = Field(examples=["public.customers.ssn"])
    label: Name = Field(examples=["pii"])
    mask: MaskOperator = Field(examples=["keep_last(4)"])


class _DatabaseTarget(_Model):
    """What is said of every database."""

    environment: Name = Field(examples=["production"])
    groups: tuple[Name, ...] = ()
    address: BackendAddress = Field(examples=["db.internal:5432"])
    database: RoleName = Field(examples=["shop"])
    tls: Literal["verify-full", "disable"] = "verify-full"
    ca: FileReference | None = Field(default=None, examples=["file:ca.pem"])
    reader: Account = Field(examples=["{user: ostiary_reader, password: env:READER_PASSWORD}"])
    writer: Account | None = Field(
        default=None, examples=["{user: ostiary_writer, password: env:WRITER_PASSWORD}"]
    )
    functions: tuple[str, ...] = ()
    columns: tuple[ColumnRule, ...] = ()
    ner: tuple[NamesInColumn, ...] = ()
    sessions: SessionLimits = Field(default_factory=SessionLimits, examples=["{idle: 1h}"])
    recording: Literal["durable", "best_effort"] = "durable"
    """`best_effort`: reads in native sessions run before their record is on disk, by up to 1 s.

    Not with `functions`: a session is no read-only transaction, and what they change would be seen
    before it is recorded.
    """

    @property
    def encrypted(self) -> bool:
        """Whether the connection needs TLS: always, but for Unix sockets and where it is off."""
        return self.tls == "verify-full" and not self.address.is_unix

    @model_validator(mode="after")
    def _encrypted_beyond_loopback(self) -> Self:
        if self.tls == "disable" and not (self.address.is_unix or self.address.is_loopback):
            raise ValueError(
                "`tls: disable` is only for Unix sockets and loopback addresses; "
                "write `tls: verify-full`, and `ca: file:PATH` for a certificate of your own"
            )
        return self

    @model_validator(mode="after")
    def _reads_change_nothing(self) -> Self:
        if self.recording == "best_effort" and self.functions:
            raise ValueError(
                "`recording: best_effort` is for reads that change nothing, and functions may; "
                "leave `functions` out, or `recording`"
            )
        return self

    @model_validator(mode="after")
    def _no_column_twice(self) -> Self:
        names = [".".join((r.column.schema, r.column.table, r.column.column)) for r in self.columns]
        check_no_duplicates("column", names)
        return self


class PostgresTarget(_DatabaseTarget):
    """A PostgreSQL database. Without a writer, whatever is more than a read is refused."""

    kind: Literal["postgres"] = Field(examples=["postgres"])
    search_path: tuple[RoleName, ...] = ("public",)


class MysqlTarget(_DatabaseTarget):
    """A MySQL or MariaDB server, with the database that statements begin in.

    A column is `database.table.column`. Without a writer, whatever is more than a read is refused.
    """

    kind: Literal["mysql", "mariadb"] = Field(examples=["mariadb"])
    lock_timeout: Duration = Field(default=10.0, examples=["10s"])


Target = Annotated[PostgresTarget | MysqlTarget, Field(discriminator="kind")]


def check_no_duplicates(what: str, names: list[str]) -> None:
    """Raises `ValueError` for what stands there twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"the {what} {twice[0]} stands there twice; remove one")
