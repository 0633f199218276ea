"""Dagster's webserver with a guard in front of it.

Dagster's own webserver executes what any web page in the administrator's browser sends to it: GraphQL mutations by GET,
as plain text, over WebSockets, with any host and origin. `guard` refuses such requests, `__main__` is the webserver
with the guard, and `dev` is `dagster dev` with that webserver.
"""
