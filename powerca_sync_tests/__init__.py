"""The tests. Every one that mentions PostgreSQL runs on a real server."""
