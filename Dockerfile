# One image for everything a node runs: `ballot serve`, `ballot migrate`, the operator's commands.
#
#   docker build -t ballot-ledger:0.1.0 .
#
# PYTHON_IMAGE may name a digest (python:3.11-slim-bookworm@sha256:...). Without a network, put the files of
# deploy/requirements.txt, setuptools and wheel into wheels/ (`pip download -d wheels ...`) and build with --build-arg
# PIP_NO_INDEX=1.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_NO_INDEX
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python3 -m venv /opt/ballot
COPY . .
# Every package by the hash of its file; compiled here, since the running image's file system is read-only.
RUN /opt/ballot/bin/python -m pip install --find-links=wheels --require-hashes --requirement=deploy/requirements.txt \
    && /opt/ballot/bin/python -m pip install --find-links=wheels --no-deps . \
    && /opt/ballot/bin/python -m pip uninstall --yes setuptools pip \
    && /opt/ballot/bin/python -m compileall -q /opt/ballot/lib

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 ballot \
    && useradd --uid 10001 --gid ballot --home-dir /var/lib/ballot --no-create-home --shell /usr/sbin/nologin ballot \
    && install --directory --owner=ballot --group=ballot --mode=0700 /var/lib/ballot
COPY --from=build /opt/ballot /opt/ballot
ENV PATH=/opt/ballot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BALLOT_STATE=/var/lib/ballot \
    BALLOT_LISTEN=0.0.0.0:7100 \
    BALLOT_HTTP=0.0.0.0:8000
USER 10001:10001
WORKDIR /var/lib/ballot
EXPOSE 7100 8000
# Alive, not ready: a node that waits for its peers must not be restarted for it. The gateway asks for readiness.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/api/_diag/health', timeout=4)"]
# SIGTERM drains HTTP, hands leadership over and ends both processes: give it 30 seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["ballot"]
CMD ["serve"]
