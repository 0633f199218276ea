"""The small office with a product of its own: notices are copied by one function, phone rows are booked by another."""

from powerca_sync.settings import DesktopFunction, DesktopFunctions
from powerca_sync.specs import read_from
from powerca_sync_tests.defs.office import SPECS

#: The departments are read through a view, which needs no copy.
VIEWED = read_from(SPECS, {"departments": "office.v_departments"})
FUNCTIONS = DesktopFunctions(
    before_forward=DesktopFunction(schema="office", name="refresh", timeout=20),
    after_reverse=DesktopFunction(schema="office", name="book", timeout=20),
)
#: The desktop's notices are a copy of the product's own table; phone rows are booked into it.
PRODUCT = """
CREATE TABLE product_notices (notice_id int, org_id int, body text);
INSERT INTO product_notices TABLE notices;
CREATE SCHEMA office;
CREATE VIEW office.v_departments AS TABLE departments;
CREATE TABLE office.calls (called text, notices bigint);
CREATE FUNCTION office.refresh() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM notices WHERE notice_id < 100;
    INSERT INTO notices TABLE product_notices;
    INSERT INTO office.calls VALUES ('refresh', (SELECT count(*) FROM notices));
    RETURN (SELECT count(*) FROM notices);
END $$;
CREATE FUNCTION office.book() RETURNS TABLE (booked bigint, day date) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO office.calls VALUES ('book', (SELECT count(*) FROM notices));
    RETURN QUERY SELECT count(*), date '2026-02-01' FROM notices;
END $$;
"""
