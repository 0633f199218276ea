"""Hostile values, schemas and encodings, declared as data, and a player that checks every run of the engine with them.

Each case is synced exactly, or its unfit rows are quarantined with a correct reason, or the table is refused with one
clear sentence; the table beside it is unaffected, and a second run is a no-op.
"""
