# One image for the code server, the webserver and the daemon; docker-compose.yml says which command each runs.

ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DAGSTER_HOME=/opt/powerca/home

WORKDIR /opt/powerca

# Not root. Dagster writes below DAGSTER_HOME; `storage` exists so that a volume mounted there takes over its owner.
RUN useradd --system --uid 10001 --no-create-home powerca \
    && mkdir -p "$DAGSTER_HOME/storage" \
    && chown -R powerca: "$DAGSTER_HOME"

# Optional dependencies of the package: `k8s` for a cluster.
ARG EXTRAS=""

# Everything but our own code, in a layer that changes with the dependencies only: an empty package is enough for that.
COPY pyproject.toml constraints.txt LICENSE ./
RUN mkdir powerca_sync \
    && touch .env.example dagster.yaml workspace.yaml \
    && touch powerca_sync/__init__.py \
    && pip install --no-cache-dir --root-user-action=ignore -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" \
    && rm -r powerca_sync

COPY .env.example dagster.yaml workspace.yaml ./
COPY powerca_sync powerca_sync
RUN pip install --no-cache-dir --root-user-action=ignore --no-deps --force-reinstall . \
    && mv dagster.yaml home/ \
    && rm -rf .env.example powerca_sync build *.egg-info

USER powerca
EXPOSE 3000 4000

CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "powerca_sync.definitions"]
