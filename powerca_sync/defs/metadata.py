"""What Dagster shows of a load: numbers that plot, tables that render, lineage by column."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.keys import desktop_key, mobile_key
from powerca_sync.engine.result import ForwardResult
from powerca_sync.engine.validation import Rejections
from powerca_sync.tables import TableSpec

#: Metadata: the rows in quarantine by reason.
QUARANTINE: Final = "quarantine_reasons"
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


def describe(spec: TableSpec, result: ForwardResult) -> Mapping[str, Any]:
    """Metadata for the materialization: the same keys at every run, lists only where there is something to list."""
    described: dict[str, Any] = {
        "mode_requested": result.mode_requested.value,
        "mode_effective": result.mode_effective.value,
        **{name: getattr(result, name) for name in COUNTS},
        "seconds": sum(result.seconds.values()),
        **{f"seconds_{phase}": seconds for phase, seconds in result.seconds.items()},
        "dagster/row_count": result.rows_at_target,
        "dagster/column_schema": _column_schema(result),
        "dagster/column_lineage": _column_lineage(spec, result),
    }
    if result.mode_reason:
        described["mode_reason"] = result.mode_reason
    if result.warnings:
        described["warnings"] = "\n".join(result.warnings)
    if result.rejections:
        described[QUARANTINE] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "reason": entry.reason,
                        "column": entry.column or "",
                        "parent": entry.parent or "",
                        "rows": entry.rows,
                    }
                )
                for entry in result.rejections
            ]
        )
    if result.samples:
        described["quarantine_samples"] = markdown_table(
            ("reason", *spec.key),
            ((str(sample), *(sample.key.get(name) for name in spec.key)) for sample in result.samples),
        )
    if result.conflicts:
        described["conflict_samples"] = markdown_table(("key",), ((key,) for key in result.conflicts))
    return described


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
            rows=int(str(entry["rows"])),
        )
        for entry in (record.data for record in quarantine.records)
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A table that Dagster renders; what is missing is shown as such."""
    lines = [header, ["---"] * len(header), *rows]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines))


def _cell(value: Any) -> str:
    text = "(empty)" if value is None else str(value)
    return text.replace("\\", "\\\\").replace("|", r"\|").replace("\r", " ").replace("\n", " ")


def _column_schema(result: ForwardResult) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name, type=column.type, constraints=dg.TableColumnConstraints(nullable=column.nullable)
            )
            for column in result.columns
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
