"""The model of the histories complains when it should: each complaint once, on rows made up for it."""

from collections import Counter
from typing import Any

import pytest

from powerca_sync_tests.histories.model import Sides, complaints, content
from powerca_sync_tests.histories.tables import COLUMNS, Variant, specs

TABLES = specs(("leave", "diary"), Variant(propagate=True))
KEYS: dict[str, tuple[Any, ...]] = {"leave": (2,), "diary": (1, 2)}


def row(**rest: Any) -> dict[str, Any]:
    return {"org_id": 1, "job_id": None, "k": 2, "name": "a", "days": 0, "ticked": 0, **rest}


def sides(table: str, desktop: list[Any], mobile: list[Any], *, waiting: Any = (), images: Any = ()) -> Sides:
    return Sides(
        table=TABLES[table],
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
def test_what_is_right_is_left_alone(table: str) -> None:
    assert complaints(sides(table, [row()], [OURS])) == []
    assert complaints(sides(table, [UNFIT], [OURS], waiting=["check"])) == []
    assert complaints(sides(table, [row()], [PHONES], images=[row()])) == []
    assert complaints(sides(table, [row()], [], images=[row()])) == []
    assert complaints(sides(table, [row()], [OURS], images=[row()])) == []


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("desktop", "mobile", "more"),
    [
        pytest.param([row()], [], {}, id="a row is on one side only"),
        pytest.param([row()], [row(source="D", name="b")], {}, id="a row is not what it should be"),
        pytest.param([OTHER], [OURS, {**OTHER, "source": "D"}], {}, id="a row is there that should have gone"),
        pytest.param([UNFIT], [], {}, id="a row that does not fit is nowhere"),
        pytest.param([UNFIT], [], {"waiting": ["reference"]}, id="the reason is not true"),
        pytest.param([row()], [OURS], {"waiting": ["check"]}, id="a row that fits waits"),
        pytest.param(
            [row(), OTHER], [PHONES, OURS, {**OTHER, "source": "D"}], {"images": [row()]}, id="a pulled row came back"
        ),
    ],
)
def test_what_is_wrong_is_found(table: str, desktop: list[Any], mobile: list[Any], more: dict[str, Any]) -> None:
    assert len(complaints(sides(table, desktop, mobile, **more))) >= 1
