"""Hostile values, schemas and encodings, declared as data, and a player that holds every run of the engine to them.

Each case is synced exactly, or its bad rows go to quarantine with a true reason, or the table is refused with one clear
sentence; the table beside it is never hurt, and a second run writes nothing.
"""
