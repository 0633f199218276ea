"""Prepare a table for its merge: look, compare digests, stage the source's rows, check them.

Each step is a function and returns a frozen record; `TableRun.plan` plans from the last one.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

from psycopg import sql

from powerca_sync.engine import guards
from powerca_sync.engine.context import check_route
from powerca_sync.engine.forward import differential_sql, plan_sql
from powerca_sync.engine.forward.differential import Differences, is_noop, may_be_scoped
from powerca_sync.engine.forward.prepared import PreparedTable, TargetCounts
from powerca_sync.engine.forward.table_run import TableRun
from powerca_sync.engine.mapping import TableMapping, read_office
from powerca_sync.engine.postgres import one_row
from powerca_sync.engine.requests import Mode, TableExtract, TextRows
from powerca_sync.engine.staging import (
    WORTH_ANALYZING,
    Echoes,
    Staged,
    echo_sql,
    extract_sql,
    find_large_objects,
    skip_echoes,
    stage_rows,
    stage_source,
    staging_sql,
    validation,
)
from powerca_sync.engine.state import check_lineage
from powerca_sync.plain_text import counted, one_line_logger

logger = one_line_logger(__name__)


def prepare_table(run: TableRun, *, release_source: Callable[[], None], allow_noop: bool = False) -> PreparedTable:
    """Read the source, and leave the rows to merge in staging; `TableRun.look` comes first.

    Calls `release_source` as soon as nothing more is read from the source. With `allow_noop`, staging is not created
    for a table without changes (`PreparedTable.noop`).

    Raises:
        SyncError: The table cannot be synced, or a guard refuses it.
    """
    with run.phase("look"):
        prepared = _look(run)
    with run.phase("compare"):
        differences = run.find_differences(prepared, count=allow_noop)
    if differences and differences.target_counts:
        prepared = dataclasses.replace(prepared, counted=TargetCounts(*differences.target_counts))
    if differences and allow_noop and is_noop(differences, prepared.before):
        prepared = _without_changes(prepared, differences)
    else:
        with run.phase("stage"):
            prepared = _stage(run, prepared, differences, allow_noop=allow_noop)
    if prepared.noop:
        with run.reading():
            release_source()
        return prepared
    if prepared.changes.mode is Mode.FULL:
        with run.guarded():
            guards.check_not_emptied(
                run.spec,
                read=prepared.staged.read,
                read_before=prepared.before.rows_read,
                allowed=run.request.allow_mass_delete,
            )
    with run.phase("check"):
        return _check(run, prepared, differences, release_source)


def _look(run: TableRun) -> PreparedTable:
    """Read the office, the state of the table and the change set."""
    with run.reading():
        check_lineage(run.source, run.snapshot, run.runs)
        office = read_office(run.source, run.specs, run.snapshot.identity, run.catalogs.sources)
    office, before = run.recall(office)
    run.resolved.require()
    check_route(run.resolved, office)
    mapping = run.map_table(office)
    changes = run.find_changes(mapping, before)
    large_objects: tuple[str, ...] = ()
    if isinstance(run.request, TableExtract):
        with run.reading():
            large_objects = find_large_objects(run.source, mapping)
    return PreparedTable(
        office=office,
        mapping=mapping,
        snapshot=run.snapshot,
        before=before,
        changes=changes,
        owned_digest=run.digest_owned(mapping, before, changes),
        large_objects=large_objects,
    )


def _without_changes(prepared: PreparedTable, differences: Differences) -> PreparedTable:
    return dataclasses.replace(
        prepared,
        staged=Staged(read=differences.rows, alike=differences.alike),
        echo=differences.rows - differences.alike,
        noop=True,
    )


def _stage(
    run: TableRun, prepared: PreparedTable, differences: Differences | None, *, allow_noop: bool
) -> PreparedTable:
    """Copy the change set into staging."""
    mapping, changes = prepared.mapping, prepared.changes
    if differences and may_be_scoped(differences, mapping, prepared.before):
        mapping = dataclasses.replace(mapping, merge_filter=differences.at_target)
    create = partial(_create_staging, run, mapping, with_ledger=prepared.snapshot.has_ledger)
    staged = _copy_rows(run, mapping, changes.where if differences is None else differences.at_source, create)
    if not staged.read:
        if allow_noop and changes.mode is Mode.INCREMENTAL and not prepared.before.quarantined:
            return dataclasses.replace(prepared, noop=True)
        create()
    if differences is not None:
        logger.info("%s: sent %d of %s.", run.spec.mobile, staged.read, counted(differences.rows, "row"))
        _add_equal_rows(run, mapping, staged, differences)
    if staged.accepted >= WORTH_ANALYZING:
        run.target.execute(staging_sql.analyze_staging(mapping))
    logger.info(
        "%s: staged %d of %s read (%s, %.1f MB).",
        run.spec.mobile,
        staged.accepted,
        counted(staged.read, "row"),
        changes.mode.value,
        staged.bytes / 1e6,
    )
    return dataclasses.replace(prepared, mapping=mapping, staged=staged, all_staged=differences is None)


def _create_staging(run: TableRun, mapping: TableMapping, *, with_ledger: bool) -> None:
    tables = [staging_sql.create_staging(mapping), plan_sql.create_actions()]
    if with_ledger or mapping.source_has_owner:
        tables += [staging_sql.create_ledger(), echo_sql.create_missing()]
    run.target.execute(sql.SQL(";\n").join(tables))


def _copy_rows(run: TableRun, mapping: TableMapping, where: sql.Composable, create: Callable[[], None]) -> Staged:
    """Copy the source's rows into staging, which is created if there are any."""
    if isinstance(run.request, TextRows):
        return stage_rows(run.target, mapping, run.request.rows(extract_sql.source_names(mapping)), create=create)
    return stage_source(
        run.source,
        run.target,
        mapping,
        where,
        read=run.read,
        reading=run.reading,
        create=create,
        # Numbers and short texts take fewer bytes as text.
        binary=run.options.binary_copy and not run.is_far(),
    )


def _add_equal_rows(run: TableRun, mapping: TableMapping, staged: Staged, differences: Differences) -> None:
    """Count the rows with equal digests, and add them to staging if the merge is not limited to the others."""
    # The other rows that were not sent are reverse-synced.
    staged.echo = differences.rows - differences.alike - staged.read
    staged.read = differences.rows
    if mapping.merge_filter is differences.at_target:
        staged.alike = differences.alike
    else:
        run.target.execute(differential_sql.fill_staging(mapping, differences.at_target))
        staged.accepted += run.target.rowcount


def _check(
    run: TableRun, prepared: PreparedTable, differences: Differences | None, release_source: Callable[[], None]
) -> PreparedTable:
    """Remove reverse-synced rows from staging, and validate the others."""
    echoes = _skip_echoes(run, prepared, differences)
    scope_in_doubt = differences is not None and differences.pulled
    if not scope_in_doubt:
        with run.reading():
            # A long merge must not hold the source's snapshot, nor depend on its connection.
            release_source()
    superseded = validation.settle_duplicates(run.target, echoes.mapping, refused=prepared.staged.refused)
    return dataclasses.replace(
        prepared,
        mapping=echoes.mapping,
        echo=echoes.echo + prepared.staged.echo,
        edited=echoes.edited,
        edited_keys=echoes.edited_keys,
        superseded=superseded,
        lookups=validation.check_rows(run.target, echoes.mapping),
        scope_in_doubt=scope_in_doubt,
    )


def _skip_echoes(run: TableRun, prepared: PreparedTable, differences: Differences | None) -> Echoes:
    mapping, images = prepared.mapping, None
    if prepared.snapshot.has_ledger and isinstance(run.request, TableExtract):
        with run.reading():
            (has_entries,) = one_row(run.source, differential_sql.has_pulled_rows(), [run.spec.phone_table])
        images = run.map_images(mapping) if has_entries else None
    # Only the images of rows that were sent can pair.
    where = sql.SQL("TRUE") if differences is None else differences.at_source
    return skip_echoes(run.source, run.target, mapping, images, where, read=run.read, reading=run.reading)
