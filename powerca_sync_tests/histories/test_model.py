"""The model of the histories complains exactly about constructed errors."""

import dataclasses
from collections import Counter
from typing import Any

import pytest

from powerca_sync_tests.histories.judge import complaints
from powerca_sync_tests.histories.ledger import Ledger, Pulled
from powerca_sync_tests.histories.model import Sides, content
from powerca_sync_tests.histories.tables import COLUMNS, REFUSED, Variant, specs

TABLES = specs(("leave", "diary"), Variant(propagate=True))
KEYS: dict[str, tuple[Any, ...]] = {"leave": (2,), "diary": (1, 2)}


def row(**rest: Any) -> dict[str, Any]:
    return {"org_id": 1, "job_id": None, "k": 2, "name": "a", "days": 0, "badge": None, "ticked": 0, **rest}


def sides(table: str, desktop: list[Any], mobile: list[Any], *, waiting: Any = (), images: Any = ()) -> Sides:
    return Sides(
        table=TABLES[table],
        variant=Variant(propagate=True),
        columns=COLUMNS,
        desktop=desktop,
        mobile=mobile,
        waiting=Counter((KEYS[table], reason) for reason in waiting),
        images=Counter(content(image, COLUMNS) for image in images),
        jobs={},
        depended_upon=set(),
    )


UNFIT, OTHER = row(days=-1), row(k=3)
OURS, PHONES = row(source="D"), row(source="M")


@pytest.mark.parametrize("table", TABLES)
def test_correct_rows_cause_no_complaint(table: str) -> None:
    assert complaints(sides(table, [row()], [OURS])) == []
    assert complaints(sides(table, [UNFIT], [OURS], waiting=["check"])) == []
    assert complaints(sides(table, [row()], [PHONES], images=[row()])) == []
    assert complaints(sides(table, [row()], [], images=[row()])) == []


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("desktop", "mobile", "more"),
    [
        pytest.param([row()], [], {}, id="a row is on one side only"),
        pytest.param([row()], [row(source="D", name="b")], {}, id="a row differs"),
        pytest.param([OTHER], [OURS, {**OTHER, "source": "D"}], {}, id="a deleted row is still on mobile"),
        pytest.param([UNFIT], [], {}, id="an unfit row is not quarantined"),
        pytest.param([UNFIT], [], {"waiting": ["reference"]}, id="the reason is wrong"),
        pytest.param([row()], [OURS], {"waiting": ["check"]}, id="a row that fits is quarantined"),
        pytest.param(
            [row(), OTHER],
            [PHONES, OURS, {**OTHER, "source": "D"}],
            {"images": [row()]},
            id="a reverse-synced row was synced back",
        ),
    ],
)
def test_each_error_causes_its_complaint(
    table: str, desktop: list[Any], mobile: list[Any], more: dict[str, Any]
) -> None:
    assert len(complaints(sides(table, desktop, mobile, **more))) >= 1


@pytest.mark.parametrize("table", TABLES)
def test_rows_in_the_ledger_are_not_desktop_rows(table: str) -> None:
    def judged(desktop: list[Any], mobile: list[Any], *known: Any) -> list[str]:
        these = sides(table, desktop, mobile, images=[row()])
        return complaints(dataclasses.replace(these, known=known))

    assert judged([row()], [], OURS) == []
    assert judged([row(name="b")], [], OURS) == []
    assert judged([OTHER], [{**OTHER, "source": "D"}], OURS) == []
    assert judged([row()], [OURS]) != []
    assert judged([OTHER], [], {**OTHER, "source": "D"}) != []


def test_entry_ends_on_a_handover_and_resumes_when_it_is_undone() -> None:
    ledger = Ledger(TABLES["leave"])
    phones = [row(created_at=1)]
    ledger.entries = [Pulled(key=2, phone=as_known(phones[0]), born=1, image=as_known(phones[0]))]
    handed_over, another = row(created_at=1, source="D"), row(created_at=2, source="D")
    assert (ledger.knows(handed_over), ledger.knows(another)) == (True, False)
    assert ledger.judge([], COLUMNS, others=[another]) == []
    assert not ledger.entries[0].ended
    ledger.entries[0].gone = False
    assert ledger.judge([], COLUMNS, others=[handed_over]) == []
    assert ledger.entries[0].ended
    assert not ledger.knows(handed_over)
    assert ledger.judge(phones, COLUMNS) == []
    assert not ledger.entries[0].ended


def with_badges(desktop: list[Any], mobile: list[Any], *reasons: str) -> list[str]:
    few = sides("leave", desktop, mobile, waiting=reasons)
    return complaints(dataclasses.replace(few, variant=Variant(propagate=True, unique=True)))


def test_badge_is_unique_on_mobile() -> None:
    held_by_another = [row(source="M", k=3, badge=1)]
    assert with_badges([row(badge=1)], held_by_another, "refused") == []
    assert with_badges([row(badge=1)], [], "refused") != []
    assert with_badges([row(badge=1)], held_by_another) != []
    assert with_badges([row(badge=1)], [], "duplicate_key") != []
    twice = [row(badge=1), row(k=3, badge=1)]
    (about_the_other,) = with_badges(twice, [], "duplicate_key")
    assert about_the_other.startswith("0 rows of (3,)")
    assert len(with_badges(twice, [])) == 2


def test_row_sharing_its_badge_with_an_edit_may_be_refused() -> None:
    edited, alone, refused = row(name="b", badge=1), row(k=None, badge=1), row(name=REFUSED)
    these = dataclasses.replace(
        sides("diary", [edited, alone, refused], [PHONES, {**OURS, "badge": 1}], images=[row()]),
        variant=Variant(propagate=True, unique=True),
    )

    def judged(reason: str) -> list[str]:
        return complaints(dataclasses.replace(these, waiting=Counter({((1, None), reason): 1, ((1, 2), "refused"): 1})))

    assert judged("refused") == judged("duplicate_key") == []
    assert judged("check") != []


def test_after_incremental_runs_only_rows_written_on_mobile_differ() -> None:
    def judged(**rest: Any) -> list[str]:
        return complaints(
            dataclasses.replace(sides("leave", [row(name="b")], [OURS, {**OTHER, "source": "D"}]), **rest)
        )

    assert len(judged()) == 2
    assert len(judged(written_there=set())) == 1
    assert judged(written_there={2}) == []


def test_lost_reverse_synced_row_is_inserted_once_more_on_request() -> None:
    ledger = Ledger(TABLES["leave"])
    phones = [row(created_at=1), row(k=3, created_at=2), row(k=4, created_at=3)]
    assert ledger.judge(phones, COLUMNS) == phones
    ledger.entries = [
        Pulled(key=one["k"], phone=as_known(one), born=one["created_at"], image=as_known(one)) for one in phones
    ]
    edited_and_kept = [row(name="b"), row(k=4)]
    assert ledger.judge(phones, COLUMNS) == []
    assert ledger.judge(phones, COLUMNS, edited_and_kept) == [phones[1]]


def as_known(one: dict[str, Any]) -> dict[str, Any]:
    return dict(content(one, COLUMNS))
