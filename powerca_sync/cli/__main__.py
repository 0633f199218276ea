"""`python -m powerca_sync.cli` is the command `powerca-sync`."""

from powerca_sync.cli import main

main()
