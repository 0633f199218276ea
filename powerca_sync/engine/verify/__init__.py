"""Comparison of both databases by digests, and the classification of rows that differ.

Reads only. Tables whose digests are equal are compared without moving a row.
"""

from powerca_sync.engine.verify.row_matching import Difference, Known
from powerca_sync.engine.verify.verification import Sample, Verification
from powerca_sync.engine.verify.verifier import verify

__all__ = ["Difference", "Known", "Sample", "Verification", "verify"]
