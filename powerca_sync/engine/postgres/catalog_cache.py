"""Keep the catalog of a database from one table of a run to the next, and read it again after a schema change."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from powerca_sync.engine.postgres.catalog import Table, catalog_query, parse_catalog, table_names
from powerca_sync.engine.postgres.execution import Cursor, Query, execute_batch
from powerca_sync.engine.postgres.sql_files import load


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    #: Tables that were looked up, whether they exist or not.
    names: tuple[str, ...]
    #: Of the catalog rows of these names; None before the first reading.
    digest: str | None
    tables: Mapping[str, Table]


class CatalogCache:
    """Facts about the tables of one database.

    Each reading gets a digest of the catalog rows in its own transaction and snapshot. Only if it differs from that of
    the kept facts, the catalog itself is read again. Several threads may use one cache.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are looked up together by the first reading; others are added when they are wanted."""
        self.kept = _Kept(names=tuple(dict.fromkeys(names)), digest=None, tables={})

    def read(self, cursor: Cursor, names: Sequence[str]) -> dict[str, Table]:
        """Returns the tables of these names that exist and that the role may look up."""
        reading = CatalogReading(self, names)
        return reading.finish(cursor, execute_batch(cursor, *reading.queries))


class CatalogReading:
    """One reading, whose queries may be part of a batch."""

    def __init__(self, cache: CatalogCache, names: Sequence[str]) -> None:
        self._cache = cache
        self._wanted = names
        self._kept = cache.kept
        known = set(self._kept.names)
        if self._kept.digest is None or not known.issuperset(names):
            self._kept = _Kept(names=tuple(dict.fromkeys((*self._kept.names, *names))), digest=None, tables={})
        #: To be executed in this order; the rows of each are the argument of `finish`.
        self.queries = self._queries(whole=self._kept.digest is None)

    def finish(self, cursor: Cursor, found: Sequence[Sequence[tuple[Any, ...]]]) -> dict[str, Table]:
        """Returns the existing tables of the wanted names; reads the catalog if the kept facts no longer hold."""
        if self._kept.digest is not None and found[0] != [(self._kept.digest,)]:
            found = execute_batch(cursor, *self._queries(whole=True))
        if len(found) > 1:
            [(digest,)], rows = found
            tables = parse_catalog(self._kept.names, rows)
            self._kept = self._cache.kept = dataclasses.replace(self._kept, digest=digest, tables=tables)
        return {name: self._kept.tables[name] for name in self._wanted if name in self._kept.tables}

    def _queries(self, *, whole: bool) -> tuple[Query, ...]:
        # The digest first: the facts may then be newer than it, and are read again, but never older.
        names = self._kept.names
        versions: Query = (load(__package__, "catalog_versions.sql"), table_names(names))
        return (versions, catalog_query(names)) if whole else (versions,)
