"""Metadata of runs, checks and the status report: documented, without zeros, and what needs a look first."""

import re
from pathlib import Path

import dagster as dg

from powerca_sync.defs import metadata
from powerca_sync.engine.staging import Rejections
from powerca_sync_tests.defs.office import Office, office_definitions

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
#: The phases of a run, and columns of a table without parent, have names of their own.
FREE = re.compile(r"seconds_\w+|\w+ (without|of quarantined) \w+")


def emitted(result: dg.ExecuteInProcessResult) -> dict[str, list[str]]:
    """Returns the names of the metadata of each materialization and check, in order."""
    materialized = {
        str(event.asset_key): event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    checked = {str(found.asset_check_key): found.metadata for found in result.get_asset_check_evaluations()}
    return {subject: list(names) for subject, names in {**materialized, **checked}.items()}


def test_metadata_is_documented_and_begins_with_what_needs_a_look(office: Office) -> None:
    office.run()
    office.pair.source.execute("""
        UPDATE staff SET dept_id = 99 WHERE staff_no = 7;
        ALTER TABLE notices ALTER body TYPE varchar(30), ADD only_here text;
        INSERT INTO notices VALUES (100, 1, 'Of the office'), (7, 77, 'No parent')""")
    office.phone_writes("Of a phone", "Fits", "longer than the desktop allows")
    office.pair.target.execute("UPDATE notices SET body = repeat('x', 40) WHERE notice_id = 102")
    office.pair.target.execute("INSERT INTO notices VALUES (900, 1, 'By whom?', NULL)")
    jobs = {name: office_definitions().resolve_job_def(name) for name in ("checks", "report")}
    results = [office.run(), office.pull(), office.pull()]
    office.pair.target.execute("UPDATE orgs SET org_name = 'Other'")
    results += [job.execute_in_process(instance=office.instance) for job in jobs.values()]
    by_subject = [emitted(result) for result in results]
    names = {name for subjects in by_subject for found in subjects.values() for name in found}
    assert {"conflict_samples", "conflict_contents", "quarantine_samples", "to_do", "samples", "verdict"} <= names
    undocumented = {name for name in names if f"`{name}`" not in REFERENCE and not FREE.fullmatch(name)}
    assert undocumented == set()
    forward = next(found for subject, found in by_subject[0].items() if "notices" in subject and "warnings" in found)
    assert forward.index("warnings") < forward.index("quarantine_reasons") < forward.index("extracted")
    assert forward.index("extracted") < forward.index("seconds") < forward.index(metadata.COLUMN_SCHEMA)


def test_quarantine_is_read_back_as_it_was_recorded() -> None:
    rejections = (
        Rejections(reason="reference", column="dept_id", parent="departments", rows=3),
        Rejections(reason="refused", column=None, parent=None, message="no week for this date", rows=1),
    )
    assert metadata.rejections_of(metadata.quarantine_table(rejections)) == rejections
    # As an earlier version recorded it.
    entry = {"reason": "refused", "column": "", "parent": "", "message": "no week for this date", "rows": 1}
    earlier = {metadata.QUARANTINE: dg.MetadataValue.table([dg.TableRecord(entry)])}
    assert metadata.rejections_of(earlier) == rejections[1:]
