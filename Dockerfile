# The image: the proxy on a bare Python, without anything that builds. docs/containers.md says how to use it.
#
#   docker build --tag sidecache .                      slim, the default: no extras
#   docker build --tag sidecache --target semantic .    with what a model in a folder needs (extra onnx)
#
# The base is any image with Python 3.11 or newer, venv and ensurepip. 3.13 has bug fixes until October 2026 and
# security fixes until October 2029 (PEP 719), and there are wheels for it of all that is locked.
#
# From one commit and one base the same files come out: versions and hashes are locked, bytecode does not hold times.
# `docker build --output type=image,rewrite-timestamp=true` and `buildah build --timestamp` make the layers equal too,
# given SOURCE_DATE_EPOCH.
ARG BASE_IMAGE=python:3.13-slim-trixie

# -- what builds: pip and the build backends, which no image keeps
FROM ${BASE_IMAGE} AS builder
ARG SOURCE_DATE_EPOCH=1577836800
# Where packages come from is the machine's business: a mirror, and the authority it is trusted by.
ARG PIP_INDEX_URL
ARG PIP_CERT
ENV SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH \
    PIP_INDEX_URL=$PIP_INDEX_URL \
    PIP_CERT=$PIP_CERT \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_WARN_SCRIPT_LOCATION=1
WORKDIR /build
COPY requirements-build.lock ./
RUN python3 -m venv tools \
    && tools/bin/pip install --no-compile --no-deps --require-hashes --only-binary :all: -r requirements-build.lock

# -- what the proxy needs; pybloom-live is the one that comes as source
FROM builder AS needs
COPY requirements.lock ./
RUN tools/bin/pip wheel --wheel-dir wheels --no-deps --require-hashes --no-build-isolation \
        --only-binary :all: --no-binary pybloom-live -r requirements.lock \
    && python3 -m venv --without-pip /opt/sidecache \
    && tools/bin/pip --python /opt/sidecache/bin/python install --no-index --no-deps --no-compile wheels/*.whl \
    && /opt/sidecache/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/sidecache/lib

# -- the same, and what the extra onnx needs
FROM builder AS semantic-needs
COPY requirements-onnx.lock ./
RUN tools/bin/pip wheel --wheel-dir wheels --no-deps --require-hashes --no-build-isolation \
        --only-binary :all: --no-binary pybloom-live -r requirements-onnx.lock \
    && python3 -m venv --without-pip /opt/sidecache \
    && tools/bin/pip --python /opt/sidecache/bin/python install --no-index --no-deps --no-compile wheels/*.whl \
    && /opt/sidecache/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/sidecache/lib

# -- the proxy itself, in a folder of its own: a layer of a megabyte is all that changes with it
FROM builder AS own
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
RUN tools/bin/pip wheel --wheel-dir wheels --no-deps --no-index --no-build-isolation . \
    && python3 -m venv --without-pip /opt/sidecache \
    && tools/bin/pip --python /opt/sidecache/bin/python install --root /own --no-index --no-deps --no-compile \
        wheels/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash -s /own /own

# -- what runs
FROM ${BASE_IMAGE} AS runtime
# Who has no pip can install nothing, and who finds no program with the rights of root gains none. The standard library
# is compiled, where the base has it as source only, as what may not write cannot do it later.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* \
        /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip /usr/share/python-wheels \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(test|tests|idlelib|lib2to3|pydoc_data|tkinter|turtledemo|dist-packages|site-packages)/' \
        "$(python3 -c 'import os; print(os.path.dirname(os.__file__))')" \
    && echo 'sidecache:x:65532:65532::/nonexistent:/usr/sbin/nologin' >>/etc/passwd \
    && echo 'sidecache:x:65532:' >>/etc/group \
    && mkdir -m 700 /var/cache/sidecache \
    && chown 65532:65532 /var/cache/sidecache
# Arenas of malloc that are seldom used keep what was freed in them; two are enough for one busy thread.
ENV PATH=/opt/sidecache/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    XDG_CACHE_HOME=/var/cache \
    ORT_DISABLE_TELEMETRY=1 \
    SIDECACHE_LISTEN=0.0.0.0:8080
# The one place that is written to: the disk tier. All else may be read-only.
VOLUME /var/cache/sidecache
EXPOSE 8080 8081
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["sidecache", "health"]
ENTRYPOINT ["sidecache"]
CMD ["serve"]

FROM runtime AS semantic
COPY --from=semantic-needs /opt/sidecache /opt/sidecache
COPY --from=own /own/opt/sidecache /opt/sidecache
ARG VERSION REVISION CREATED
LABEL org.opencontainers.image.title="Sidecache, with what a model needs" \
      org.opencontainers.image.description="A caching reverse proxy that stands beside any LLM or RAG backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"

FROM runtime AS slim
COPY --from=needs /opt/sidecache /opt/sidecache
COPY --from=own /own/opt/sidecache /opt/sidecache
ARG VERSION REVISION CREATED
LABEL org.opencontainers.image.title="Sidecache" \
      org.opencontainers.image.description="A caching reverse proxy that stands beside any LLM or RAG backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
