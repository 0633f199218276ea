"""Metadata of a materialization: figures that Dagster plots, tables and the columns; and the way back from it."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from powerca_sync.engine.postgres import Column
from powerca_sync.engine.result import Conflict, ForwardResult, ReverseResult, figures
from powerca_sync.engine.staging import Quarantined, Rejections
from powerca_sync.plain_text import in_one_line
from powerca_sync.specs import TableSpec

#: Of a materialization.
Metadata = Mapping[str, dg.MetadataValue[Any]]
#: Metadata: the rows in quarantine by reason.
QUARANTINE: Final = "quarantine_reasons"
#: Metadata: the first rows in quarantine.
SAMPLES: Final = "quarantine_samples"
#: Metadata: both contents of rows born on either side under one key.
CONFLICTS: Final = "conflict_contents"
#: Names of the figures of a forward run, and of a reverse run.
COUNTS: Final = tuple(figure.name for figure in figures(ForwardResult))
PULL_COUNTS: Final = tuple(figure.name for figure in figures(ReverseResult))
#: Number of rows of the mobile table; Dagster shows it beside the asset.
ROW_COUNT: Final = "dagster/row_count"
COLUMN_SCHEMA: Final = "dagster/column_schema"


def describe(result: ForwardResult, spec: TableSpec, *, last: Callable[[], Metadata]) -> Mapping[str, Any]:
    """Returns the metadata of a forward run; `last` reads that of the table's last run.

    It begins with what needs a look. Figures that Dagster plots are there at every run, others only if they are not 0.
    An incremental run does not count the rows of mobile; its row count is the last one and what the run has inserted
    and deleted.
    """
    rows = result.rows_at_target
    if rows is None and isinstance(known := last().get(ROW_COUNT), dg.IntMetadataValue):
        rows = (known.value or 0) + result.inserted - result.deleted
    return {
        **_describe_findings(result),
        **_keys_table("conflict_samples", result.conflicts),
        **_keys_table("foreign_samples", result.foreign_keys),
        **_describe_counts(result),
        **({} if rows is None else {ROW_COUNT: rows}),
        "mode_requested": result.mode_requested.value,
        "mode_effective": result.mode_effective.value,
        **({"mode_reason": result.mode_reason} if result.mode_reason else {}),
        **_describe_circumstances(result, spec),
    }


def describe_source(result: ForwardResult, spec: TableSpec) -> Mapping[str, Any]:
    """Returns the metadata of the desktop's table, as a full forward run has read it."""
    return {
        ROW_COUNT: result.rows_at_source,
        COLUMN_SCHEMA: _column_schema(result.source_columns, spec),
        **({"snapshot": result.snapshot} if result.snapshot else {}),
    }


def describe_pull(result: ReverseResult, spec: TableSpec) -> Mapping[str, Any]:
    """Returns the metadata of a reverse run."""
    return {
        **_describe_findings(result),
        **conflict_table(result.conflict_samples),
        **_keys_table("changed_after_pull_keys", result.changed_keys),
        **_keys_table("missing_after_pull_keys", result.missing_keys),
        **_describe_counts(result),
        **_describe_circumstances(result, spec),
    }


def _describe_findings(result: ForwardResult | ReverseResult) -> Mapping[str, Any]:
    """Returns what a person should look at."""
    texts = {"warnings": result.warnings, "remarks": result.remarks}
    return {
        **{name: "\n".join(map(in_one_line, lines)) for name, lines in texts.items() if lines},
        **quarantine_table(result.rejections),
        **sample_table(result.samples),
    }


def _describe_counts(result: ForwardResult | ReverseResult) -> Mapping[str, int]:
    counts = {figure: getattr(result, figure.name) for figure in figures(type(result))}
    return {figure.name: count for figure, count in counts.items() if count or figure.plotted}


def _describe_circumstances(result: ForwardResult | ReverseResult, spec: TableSpec) -> Mapping[str, Any]:
    phases = {f"seconds_{phase}": round(seconds, 3) for phase, seconds in result.seconds.items()}
    return {
        "seconds": round(sum(phases.values()), 3),
        **phases,
        **({"resolved": "; ".join(result.notes)} if result.notes else {}),
        COLUMN_SCHEMA: _column_schema(result.columns, spec),
    }


def figures_of(metadata: Metadata) -> dict[str, int | float | str]:
    """Returns the plain numbers and words among a materialization's metadata, with the figures left out as 0."""
    plain = (dg.IntMetadataValue, dg.FloatMetadataValue, dg.TextMetadataValue)
    zeros = {
        figure.name: 0
        for counts in (figures(ForwardResult), figures(ReverseResult))
        if counts[0].name in metadata
        for figure in counts
        if not figure.optional
    }
    return zeros | {
        name: value.value for name, value in metadata.items() if isinstance(value, plain) and value.value is not None
    }


def without_zeros(**counts: int | None) -> Mapping[str, int]:
    """Returns the counts that are known and not 0."""
    return {name: count for name, count in counts.items() if count}


def quarantine_table(rejections: Sequence[Rejections]) -> Mapping[str, dg.TableMetadataValue]:
    """Rows in quarantine by reason; nothing where there are none."""
    if not rejections:
        return {}
    return {
        QUARANTINE: dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "rows": entry.rows,
                        "why": entry.why,
                        "reason": entry.reason,
                        "column": entry.column or "",
                        "parent": entry.parent or "",
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


def conflicts_of(metadata: Metadata) -> tuple[Conflict, ...]:
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


def rejections_of(metadata: Metadata) -> tuple[Rejections, ...]:
    """The rows in quarantine by reason, back from what `describe` made of them."""
    quarantine = metadata.get(QUARANTINE)
    if not isinstance(quarantine, dg.TableMetadataValue):
        return ()
    return tuple(_rejections(record.data) for record in quarantine.records)


def _rejections(entry: Mapping[str, Any]) -> Rejections:
    found = Rejections(
        reason=str(entry["reason"]),
        column=str(entry["column"]) or None,
        parent=str(entry["parent"]) or None,
        rows=int(entry["rows"]),
    )
    # Earlier versions recorded the database's message instead.
    why = str(entry.get("why") or entry.get("message") or found.why)
    return found if found.why == why else dataclasses.replace(found, message=why)


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.TableMetadataValue:
    """A table that Dagster shows as text: unlike in Markdown, a value can bring no image and no link."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(header, map(_cell, line), strict=True))) for line in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=name) for name in header]),
    )


def _cell(value: Any) -> str:
    return "(empty)" if value is None else in_one_line(str(value))


def _keys_table(name: str, keys: Sequence[str]) -> Mapping[str, dg.TableMetadataValue]:
    return {name: text_table(("key",), ((key,) for key in keys))} if keys else {}


def _column_schema(columns: Iterable[Column], spec: TableSpec) -> dg.TableSchema:
    """Returns the columns with their comments in the database, or else in the spec."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=in_one_line(column.comment) or spec.column_comments.get(column.name),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in columns
        ]
    )
