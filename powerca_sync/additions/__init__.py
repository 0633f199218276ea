"""Assets and checks of one office beside those of its tables; `dg scaffold defs` writes here.

`powerca_sync/definitions.py` loads every module of this folder; a subfolder needs an `__init__.py`.
"""
