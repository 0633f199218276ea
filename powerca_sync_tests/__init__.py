"""The tests. Every test that mentions PostgreSQL runs on a real server."""
