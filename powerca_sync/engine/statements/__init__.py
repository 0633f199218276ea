"""Every dynamic SQL statement, one function each, returning `sql.Composed`; nothing here executes anything.

Temporary tables, all of them gone at commit: `staging` has the rows read from the source, `rejected` those that go to
quarantine, `held` their keys, `ledger` the images of pulled phone rows, `echoed` the contents of those that came back,
`unsettled` the contents that the two sides hold in different numbers, `actions` what the merge will do.
"""
