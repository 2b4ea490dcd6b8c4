"""SQLAlchemy's connections, awaited: what its asyncio package does for them, without the ORM that comes with it.

`sqlalchemy.ext.asyncio` loads sessions, and with them the whole ORM: 6 MiB in each service that has a database, none
of which maps a row to an object (ADR 48). Engines, pools, drivers and statements are SQLAlchemy's as ever.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, TypeVarTuple, overload

from sqlalchemy import Connection, CursorResult, Engine, ScalarResult
from sqlalchemy.util import greenlet_spawn

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Executable
    from sqlalchemy.engine.interfaces import _CoreAnyExecuteParams
    from sqlalchemy.sql.selectable import TypedReturnsRows

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class AsyncConnection:
    """A connection whose every step is awaited; entered, it takes one from the pool, and gives it back at the end.

    What an `execute` returns holds all its rows: its cursor is closed by then.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opened: Connection | None = None

    @property
    def _connection(self) -> Connection:
        assert self._opened is not None, "not entered"  # noqa: S101  a bug of the caller
        return self._opened

    async def __aenter__(self) -> Self:
        self._opened = await greenlet_spawn(self._engine.connect)
        return self

    async def __aexit__(self, *_: object) -> None:
        await _finish(greenlet_spawn(self._connection.close))

    @property
    def dialect(self) -> "Dialect":
        """Which database it is, and its ways."""
        return self._engine.dialect

    @property
    def is_postgres(self) -> bool:
        """Whether it is PostgreSQL; the other is SQLite."""
        return self._engine.dialect.name == "postgresql"

    @property
    def info(self) -> dict[Any, Any]:
        """What is kept beside the connection for as long as the pool has it."""
        return self._connection.info

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[None]:
        """Begin a transaction; it commits unless the block raises."""
        transaction = (await greenlet_spawn(self._connection.begin)).__enter__()
        try:
            yield
        except BaseException as error:
            # What it raises itself is raised as it is; the block's own error goes on from here.
            await greenlet_spawn(transaction.__exit__, type(error), error, error.__traceback__)
            raise
        await greenlet_spawn(transaction.__exit__, None, None, None)

    @overload
    async def execute(
        self, statement: "TypedReturnsRows[*Ts]", parameters: "_CoreAnyExecuteParams | None" = None
    ) -> "CursorResult[*Ts]": ...

    @overload
    async def execute(
        self, statement: "Executable", parameters: "_CoreAnyExecuteParams | None" = None
    ) -> "CursorResult[*tuple[Any, ...]]": ...

    async def execute(
        self, statement: "Executable", parameters: "_CoreAnyExecuteParams | None" = None
    ) -> "CursorResult[*tuple[Any, ...]]":
        """Run a statement; several parameters run it for each. Raises SQLAlchemy's errors."""
        result = await greenlet_spawn(self._connection.execute, statement, parameters)
        if result.cursor is not None:
            # The rows are here; the driver's cursor is closed where that can be awaited, or its lock would stay.
            await result.cursor._async_soft_close()  # noqa: SLF001  nothing public does it: test_awaiting
        return result

    @overload
    async def scalar(
        self, statement: "TypedReturnsRows[T]", parameters: "_CoreAnyExecuteParams | None" = None
    ) -> T | None: ...

    @overload
    async def scalar(self, statement: "Executable", parameters: "_CoreAnyExecuteParams | None" = None) -> Any: ...  # noqa: ANN401

    async def scalar(self, statement: "Executable", parameters: "_CoreAnyExecuteParams | None" = None) -> Any:
        """Run a statement; return the first column of its first row, None where there is none."""
        return (await self.execute(statement, parameters)).scalar()

    @overload
    async def scalars(
        self, statement: "TypedReturnsRows[T]", parameters: "_CoreAnyExecuteParams | None" = None
    ) -> ScalarResult[T]: ...

    @overload
    async def scalars(
        self, statement: "Executable", parameters: "_CoreAnyExecuteParams | None" = None
    ) -> ScalarResult[Any]: ...

    async def scalars(
        self, statement: "Executable", parameters: "_CoreAnyExecuteParams | None" = None
    ) -> ScalarResult[Any]:
        """Run a statement; return the first column of its rows."""
        return (await self.execute(statement, parameters)).scalars()

    async def run_sync(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that works with a connection as if nothing had to be awaited."""
        return await greenlet_spawn(partial(work, self._connection, *args, **kwargs))

    async def execution_options(self, **options: Any) -> None:  # noqa: ANN401
        """Set options of this connection, such as isolation_level."""
        await greenlet_spawn(self._connection.execution_options, **options)


class AsyncEngine:
    """An engine on a driver that is awaited."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def dialect(self) -> "Dialect":
        """Which database it is, and its ways."""
        return self._engine.dialect

    def connect(self) -> AsyncConnection:
        """Make a connection, to be entered."""
        return AsyncConnection(self._engine)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection and begin a transaction on it."""
        async with self.connect() as connection, connection.begin():
            yield connection

    def execution_options(self, **options: Any) -> "AsyncEngine":  # noqa: ANN401
        """Return the same engine, whose connections have these options."""
        return AsyncEngine(self._engine.execution_options(**options))

    async def dispose(self) -> None:
        """Close the connections of the pool."""
        await greenlet_spawn(self._engine.dispose)


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work to its end, however often the caller is cancelled, and raise the cancellation then.

    A connection given back by halves would go on behind the caller, into a pool that may be gone.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
