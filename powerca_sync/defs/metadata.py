"""What Dagster shows of a load or a pull: numbers that plot, tables that render, lineage by column."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.keys import desktop_key, mobile_key
from powerca_sync.engine.postgres import Column
from powerca_sync.engine.result import Conflict, ForwardResult, ReverseResult
from powerca_sync.engine.staging import Quarantined, Rejections
from powerca_sync.plain_text import in_one_line
from powerca_sync.tables import TableSpec

#: Metadata: the rows in quarantine by reason.
QUARANTINE: Final = "quarantine_reasons"
#: Metadata: the first rows in quarantine.
SAMPLES: Final = "quarantine_samples"
#: Metadata: both contents of rows born on either side under one key.
CONFLICTS: Final = "conflict_contents"
#: Counts that every load has, in the order in which a row meets its fate.
COUNTS: Final = (
    "extracted",
    "staged",
    "inserted",
    "updated",
    "unchanged",
    "deleted",
    "kept_mobile",
    "kept_other",
    "kept_referenced",
    "held",
    "echo",
    "quarantined",
    "superseded",
    "stale",
    "filtered",
    "conflicting",
    "bytes",
)
#: Counts that every pull has.
PULL_COUNTS: Final = (
    "seen",
    "pulled",
    "already_there",
    "adopted",
    "conflicts",
    "lookalikes",
    "quarantined",
    "changed_after_pull",
    "missing_after_pull",
    "unassigned",
    "gone",
    "altered",
    "bytes",
)


def describe(spec: TableSpec, result: ForwardResult) -> Mapping[str, Any]:
    """Metadata for the materialization: the same keys at every run, lists only where there is something to list.

    An incremental run lacks the counts of rows at which it does not look.
    """
    described: dict[str, Any] = {
        "mode_requested": result.mode_requested.value,
        "mode_effective": result.mode_effective.value,
        **where_counted(**{name: getattr(result, name) for name in COUNTS}),
        **_seconds(result.seconds),
        **where_counted(mobile_owned=result.mobile_owned),
        **where_counted(**{"dagster/row_count": result.rows_at_target}),
        "dagster/column_schema": _column_schema(result.columns),
        "dagster/column_lineage": _column_lineage(spec, result),
        **_resolved(result.notes),
        **_warnings(result.warnings),
        **_remarks(result.remarks),
        **quarantine_table(result.rejections),
        **sample_table(result.samples),
    }
    if result.mode_reason:
        described["mode_reason"] = result.mode_reason
    if result.conflicts:
        described["conflict_samples"] = _keys_table(result.conflicts)
    return described


def describe_pull(spec: TableSpec, result: ReverseResult) -> Mapping[str, Any]:
    """The same for phone rows that were brought back to the desktop."""
    described: dict[str, Any] = {
        **{name: getattr(result, name) for name in PULL_COUNTS},
        **_seconds(result.seconds),
        "dagster/column_schema": _column_schema(result.columns),
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column.name: [dg.TableColumnDep(asset_key=mobile_key(spec.mobile), column_name=column.name)]
                for column in result.columns
            }
        ),
        **_resolved(result.notes),
        **_warnings(result.warnings),
        **_remarks(result.remarks),
        **quarantine_table(result.rejections),
        **sample_table(result.samples),
        **conflict_table(result.conflict_samples),
    }
    if result.changed_keys:
        described["changed_after_pull_keys"] = _keys_table(result.changed_keys)
    if result.missing_keys:
        described["missing_after_pull_keys"] = _keys_table(result.missing_keys)
    return described


def where_counted(**counts: int | None) -> Mapping[str, int]:
    """Those counts that are known."""
    return {name: count for name, count in counts.items() if count is not None}


def quarantine_table(rejections: Sequence[Rejections]) -> Mapping[str, dg.TableMetadataValue]:
    """Rows in quarantine by reason; nothing where there are none."""
    if not rejections:
        return {}
    return {
        QUARANTINE: dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "reason": entry.reason,
                        "column": entry.column or "",
                        "parent": entry.parent or "",
                        "message": entry.message or "",
                        "rows": entry.rows,
                    }
                )
                for entry in rejections
            ]
        )
    }


def sample_table(samples: Sequence[Quarantined]) -> Mapping[str, dg.TableMetadataValue]:
    """The first rows in quarantine, each with its reason and its key; nothing where there are none."""
    names = tuple(dict.fromkeys(name for sample in samples for name in sample.key))
    records = [
        dg.TableRecord({"reason": sample.reason, "why": str(sample)} | {name: sample.key.get(name) for name in names})
        for sample in samples
    ]
    return {SAMPLES: dg.MetadataValue.table(records)} if records else {}


def conflict_table(conflicts: Sequence[Conflict]) -> Mapping[str, dg.TableMetadataValue]:
    """Both contents of each conflict, column by column; nothing where there are none."""
    records = [
        dg.TableRecord(
            {
                "conflict": place,
                "key": name in conflict.key,
                "column": name,
                "phone": conflict.phone.get(name),
                "desktop": conflict.desktop.get(name),
            }
        )
        for place, conflict in enumerate(conflicts, start=1)
        for name in dict.fromkeys((*conflict.key, *conflict.phone, *conflict.desktop))
    ]
    return {CONFLICTS: dg.MetadataValue.table(records)} if records else {}


def conflicts_of(metadata: Mapping[str, dg.MetadataValue[Any]]) -> tuple[Conflict, ...]:
    """The conflicts, back from what `conflict_table` made of them."""
    table = metadata.get(CONFLICTS)
    if not isinstance(table, dg.TableMetadataValue):
        return ()
    by_place: dict[Any, list[Mapping[str, Any]]] = {}
    for record in table.records:
        by_place.setdefault(record.data["conflict"], []).append(record.data)
    return tuple(
        Conflict(
            key={line["column"]: line["phone"] for line in lines if line["key"]},
            phone={line["column"]: line["phone"] for line in lines},
            desktop={line["column"]: line["desktop"] for line in lines},
        )
        for lines in by_place.values()
    )


def rejections_of(metadata: Mapping[str, dg.MetadataValue[Any]]) -> tuple[Rejections, ...]:
    """The rows in quarantine by reason, back from what `describe` made of them."""
    quarantine = metadata.get(QUARANTINE)
    if not isinstance(quarantine, dg.TableMetadataValue):
        return ()
    return tuple(
        Rejections(
            reason=str(entry["reason"]),
            column=str(entry["column"]) or None,
            parent=str(entry["parent"]) or None,
            message=str(entry["message"]) or None,
            rows=int(str(entry["rows"])),
        )
        for entry in (record.data for record in quarantine.records)
    )


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.TableMetadataValue:
    """A table that Dagster shows as text: unlike in Markdown, a value can bring no image and no link."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(header, map(_cell, line), strict=True))) for line in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=name) for name in header]),
    )


def _cell(value: Any) -> str:
    return "(empty)" if value is None else in_one_line(str(value))


def _keys_table(keys: Iterable[str]) -> dg.TableMetadataValue:
    return text_table(("key",), ((key,) for key in keys))


def _seconds(phases: Mapping[str, float]) -> dict[str, float]:
    return {"seconds": sum(phases.values())} | {f"seconds_{phase}": seconds for phase, seconds in phases.items()}


def _resolved(notes: Sequence[str]) -> dict[str, str]:
    return {"resolved": in_one_line("; ".join(notes))} if notes else {}


def _warnings(sentences: Sequence[str]) -> dict[str, str]:
    return {"warnings": "\n".join(map(in_one_line, sentences))} if sentences else {}


def _remarks(sentences: Sequence[str]) -> dict[str, str]:
    return {"remarks": "\n".join(map(in_one_line, sentences))} if sentences else {}


def _column_schema(columns: Iterable[Column]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name, type=column.type, constraints=dg.TableColumnConstraints(nullable=column.nullable)
            )
            for column in columns
        ]
    )


def _column_lineage(spec: TableSpec, result: ForwardResult) -> dg.TableColumnLineage:
    """Each column from the desktop's of the same name, or from where it is looked up."""
    looked_up = {
        lookup.column: [
            dg.TableColumnDep(asset_key=mobile_key(lookup.table), column_name=lookup.answer),
            dg.TableColumnDep(asset_key=desktop_key(spec), column_name=lookup.match),
        ]
        for lookup in spec.lookups
    }
    return dg.TableColumnLineage(
        {
            column.name: looked_up.get(
                column.name, [dg.TableColumnDep(asset_key=desktop_key(spec), column_name=column.name)]
            )
            for column in result.columns
        }
    )
