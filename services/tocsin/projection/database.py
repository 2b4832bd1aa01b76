"""The database behind the projection: SQLite in the data directory, or PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import delete, event, insert, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tocsin.projection.tables import VERSION, meta, metadata

_CONNECT_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = 30.0
_BUSY_S = 10.0
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


class DatabaseError(Exception):
    """The database cannot be used; the text is one line with the mend."""


class DatabaseAddressError(DatabaseError):
    """The address itself is wrong: no database would answer to it."""


class Database:
    """An engine, and whether it is SQLite, where one connection writes at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction."""
        async with self._writing, self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view; nothing is committed."""
        async with self.engine.connect() as connection:
            yield connection

    async def wipe(self) -> None:
        """Forget everything: it is read from Kafka again."""
        async with self.writing() as connection:
            for table in metadata.sorted_tables:
                if table is not meta:
                    await connection.execute(delete(table))


@asynccontextmanager
async def opened(url: str | None, data_dir: Path) -> AsyncIterator[Database]:
    """The database with its tables. Raises DatabaseError when it does not answer, or belongs to a newer tocsin."""
    engine = _engine(url or f"sqlite:///{data_dir / 'projection.sqlite3'}")
    shown = engine.url.render_as_string(hide_password=True)
    try:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await _prepare(engine)
        except (DBAPIError, OSError, TimeoutError) as error:
            reason = "no answer" if isinstance(error, TimeoutError) else _first_line(error)
            mend = "start it, or correct database.url (TOCSIN_DATABASE_URL)"
            raise DatabaseError(f"database.url: {shown} cannot be used ({reason}); {mend}") from None
        yield Database(engine)
    finally:
        await engine.dispose()


def _engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
        driver = _DRIVERS.get(parsed.drivername, parsed.drivername)
        if driver not in _DRIVERS.values() or not 0 < (parsed.port or 1) <= 65_535:
            raise ArgumentError(driver)
        arguments: dict[str, Any] = {"timeout": _BUSY_S}
        if driver != "sqlite+aiosqlite":
            arguments["command_timeout"] = _STATEMENT_TIMEOUT_S
            parsed = _with_drivers_parameters(parsed)
        engine = create_async_engine(parsed.set(drivername=driver), connect_args=arguments, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ValueError):
        mend = "write postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:////PATH"
        raise DatabaseAddressError(f"database.url: not an address that is known; {mend}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


def _with_drivers_parameters(url: URL) -> URL:
    """What follows the `?`: `sslmode`, as PostgreSQL's own programs write it, is `ssl` to the driver."""
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    unknown = query.keys() - signature(asyncpg.connect).parameters.keys()
    if unknown:
        mend = "remove it; ?sslmode=require is one that is known"
        raise DatabaseAddressError(f"database.url: {min(unknown)!r} is not a parameter of the driver; {mend}")
    return url.set(query=query)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # A crash may cost the last transactions, never the file; they are read from Kafka again.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _prepare(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(meta.create, checkfirst=True)
        found = await connection.scalar(select(meta.c.value).where(meta.c.name == "version"))
        if found is not None and int(found) > VERSION:
            mend = "run that version, or give this one a database of its own"
            raise DatabaseError(
                f"database.url: the tables are of a newer tocsin (layout {found}, not {VERSION}); {mend}"
            )
        if found is not None and int(found) < VERSION:
            await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
        if found is None or int(found) < VERSION:
            await connection.execute(delete(meta).where(meta.c.name == "version"))
            await connection.execute(insert(meta).values(name="version", value=str(VERSION)))


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
