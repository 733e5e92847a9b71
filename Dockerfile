# syntax=docker/dockerfile:1
# ocrd in a container.  Its steps were tried in a plain Debian root; the image was never built, as there
# was no container engine.
#
# On the CPU:   docker build -t ocrd .
# On a GPU:     docker build -t ocrd-gpu \
#                 --build-arg BASE=vllm/vllm-openai:v0.33.0 --build-arg EXTRAS=barcode,web .
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG EXTRAS=cpu,barcode,web

# The base says which Debian, and so which versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends tesseract-ocr tini \
    && rm -rf /var/lib/apt/lists/*

COPY . /usr/src/ocrd
RUN python3 -m pip install --no-cache-dir --constraint /usr/src/ocrd/constraints.txt \
        "/usr/src/ocrd[${EXTRAS}]" \
    && rm -rf /usr/src/ocrd

# Mount another over it.
COPY <<CONFIG /etc/ocrd/config.toml
root = "/srv/ocrd"

[[folder]]
name = "scans"
CONFIG

# Everything that is kept lies below one folder: inboxes, results, originals, ledger.
RUN install -d -m 2770 -o 1000 -g 1000 /srv/ocrd
VOLUME /srv/ocrd
ENV HOME=/srv/ocrd/.home \
    OCRD_LOG__FORMAT=json

# Another uid: docker run --user "$(id -u):$(id -g)"
USER 1000:1000
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m CMD ["ocrd", "status"]
# ocrd logs to stderr; a container says it on stdout.
ENTRYPOINT ["tini", "--", "sh", "-c", "exec ocrd \"$@\" 2>&1", "ocrd"]
CMD ["run"]
