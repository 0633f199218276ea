"""Comparison of both databases by digests, and the classification of rows that differ.

Writes to temporary tables only. Tables whose digests agree are compared without moving a row; rows that differ are
classified by a dry run.
"""

from powerca_sync.engine.verify.verification import Difference, Known, Sample, Verification
from powerca_sync.engine.verify.verifier import verify

__all__ = ["Difference", "Known", "Sample", "Verification", "verify"]
