"""`dagster dev` with the guarded webserver: `python -m powerca_sync.web.dev`, with the options of `dagster dev`."""

from powerca_sync.defs.platform.dev_server import run_dagster_dev

if __name__ == "__main__":
    run_dagster_dev("powerca_sync.web")
