"""The limits beyond which a run is taken for a mistake."""

import pytest

from powerca_sync.engine import guards
from powerca_sync.engine.staging.validation import Quarantined
from powerca_sync.errors import MergeError, UnsafeTargetError
from powerca_sync.settings import Limits
from powerca_sync_tests.helpers import spec

ITEMS = spec("items", "id")
STRICT = spec("items", "id", mass_delete_rows=0, mass_delete_share=0.5, limit_rows=0, limit_share=0.5)


@pytest.mark.parametrize(("deletes", "owned"), [(20, 20), (20, 0), (50, 1000), (50, 1019), (0, 0)])
def test_deletes_within_the_larger_limit_pass(deletes: int, owned: int) -> None:
    guards.check_mass_delete(ITEMS, deletes=deletes, owned=owned, allowed=False)


@pytest.mark.parametrize(("deletes", "owned"), [(21, 21), (21, 400), (51, 1000)])
def test_deletes_beyond_both_limits_need_an_option(deletes: int, owned: int) -> None:
    with pytest.raises(UnsafeTargetError, match=f"{deletes} of the office's {owned} rows"):
        guards.check_mass_delete(ITEMS, deletes=deletes, owned=owned, allowed=False)
    guards.check_mass_delete(ITEMS, deletes=deletes, owned=owned, allowed=True)


def test_spec_may_set_its_own_limits() -> None:
    guards.check_mass_delete(STRICT, deletes=5, owned=10, allowed=False)
    with pytest.raises(UnsafeTargetError, match=r"6 of the office's 10 rows .* the limit is 5"):
        guards.check_mass_delete(STRICT, deletes=6, owned=10, allowed=False)
    guards.check_quarantine(STRICT, quarantined=5, rows=10, samples=())
    with pytest.raises(UnsafeTargetError, match=r"6 of 10 rows \(60%\)"):
        guards.check_quarantine(STRICT, quarantined=6, rows=10, samples=())


def test_empty_source_is_refused_only_if_it_had_rows() -> None:
    guards.check_not_emptied(ITEMS, read=0, read_before=None, allowed=False)
    guards.check_not_emptied(ITEMS, read=0, read_before=0, allowed=False)
    guards.check_not_emptied(ITEMS, read=1, read_before=9, allowed=False)
    guards.check_not_emptied(ITEMS, read=0, read_before=9, allowed=True)
    with pytest.raises(UnsafeTargetError, match="the last run read 9 rows"):
        guards.check_not_emptied(ITEMS, read=0, read_before=9, allowed=False)


@pytest.mark.parametrize(("quarantined", "rows"), [(20, 23), (21, 105), (200, 1000), (0, 0), (1, 2), (8, 9)])
def test_quarantine_within_the_larger_limit_passes(quarantined: int, rows: int) -> None:
    guards.check_quarantine(ITEMS, quarantined=quarantined, rows=rows, samples=())


def test_quarantine_beyond_both_limits_names_each_reason_once() -> None:
    sample = Quarantined(reason="reference", column="job_id", value="7", parent="jobs", message=None, key={"id": "1"})
    with pytest.raises(UnsafeTargetError) as caught:
        guards.check_quarantine(ITEMS, quarantined=21, rows=104, samples=[sample, sample])
    assert "21 of 104 rows (20%) would go to quarantine; the limit is 20% and more than 20 rows" in str(caught.value)
    assert str(caught.value).count("job_id=7 has no matching row in jobs") == 1


@pytest.mark.parametrize(("quarantined", "rows"), [(1, 1), (16, 16), (9, 10), (20, 22)])
def test_quarantine_of_nearly_all_rows_is_refused_whatever_the_size(quarantined: int, rows: int) -> None:
    with pytest.raises(UnsafeTargetError, match=f"{quarantined} of {rows} rows? .*, or nearly all rows, however few"):
        guards.check_quarantine(ITEMS, quarantined=quarantined, rows=rows, samples=())
    allowed = guards.with_limits(ITEMS, Limits(quarantine_share=1))
    guards.check_quarantine(allowed, quarantined=quarantined, rows=rows, samples=())


def test_every_row_is_counted_exactly_once() -> None:
    guards.check_conservation(ITEMS, extracted=3, accounted={"inserted": 1, "updated": 2})
    with pytest.raises(MergeError, match=r"4 rows read, but 3 accounted for \(1 inserted, 2 updated\)"):
        guards.check_conservation(ITEMS, extracted=4, accounted={"inserted": 1, "updated": 2})


def test_configured_limits_take_precedence_over_the_spec() -> None:
    assert guards.with_limits(STRICT, Limits()) == STRICT
    lenient = guards.with_limits(STRICT, Limits(mass_delete_rows=30, quarantine_share=1))
    guards.check_mass_delete(lenient, deletes=30, owned=30, allowed=False)
    with pytest.raises(UnsafeTargetError, match=r"31 of the office's 31 rows .* the limit is 30"):
        guards.check_mass_delete(lenient, deletes=31, owned=31, allowed=False)
    guards.check_quarantine(lenient, quarantined=10, rows=10, samples=())
    strict = guards.with_limits(ITEMS, Limits(mass_delete_share=0.001, mass_delete_rows=0, quarantine_rows=0))
    with pytest.raises(UnsafeTargetError, match="the limit is 1"):
        guards.check_mass_delete(strict, deletes=2, owned=1000, allowed=False)
    with pytest.raises(UnsafeTargetError, match="the limit is 20% and more than 0 rows"):
        guards.check_quarantine(strict, quarantined=1, rows=4, samples=())


def test_every_refusal_names_the_option_that_allows_it_once() -> None:
    with pytest.raises(UnsafeTargetError, match=r"`items`.*`--allow-mass-delete`"):
        guards.check_mass_delete(ITEMS, deletes=21, owned=21, allowed=False)
    with pytest.raises(UnsafeTargetError, match=r"`items`.*the limit is 1.*`--allow-mass-delete`"):
        guards.check_not_emptied(ITEMS, read=0, read_before=9, allowed=False)
    with pytest.raises(UnsafeTargetError, match=r"`items`.*`POWERCA_QUARANTINE_SHARE=1`"):
        guards.check_quarantine(ITEMS, quarantined=21, rows=21, samples=())


def test_mass_insert_is_refused_only_if_the_office_has_rows() -> None:
    guards.check_mass_insert(ITEMS, inserts=100_000, grown=None, owned=0, allowed=False)
    guards.check_mass_insert(ITEMS, inserts=1000, grown=None, owned=1, allowed=False)
    with pytest.raises(UnsafeTargetError, match="1001 rows would be inserted beside the office's 1; the limit is 1000"):
        guards.check_mass_insert(ITEMS, inserts=1001, grown=None, owned=1, allowed=False)
    guards.check_mass_insert(ITEMS, inserts=1001, grown=None, owned=1, allowed=True)
    # The source has not grown: the rows were deleted on mobile.
    guards.check_mass_insert(ITEMS, inserts=1001, grown=0, owned=1, allowed=False)


def test_all_emptied_columns_are_named() -> None:
    guards.check_emptied(ITEMS, emptied={"a": (20, 20), "b": (200, 1000)})
    with pytest.raises(UnsafeTargetError, match="`a` in 21 of 21 rows, `c` in 201 of 1000 rows;"):
        guards.check_emptied(ITEMS, emptied={"a": (21, 21), "b": (200, 1000), "c": (201, 1000)})
