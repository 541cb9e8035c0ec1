# The application of the growth benchmark: one image for all services. No HEALTHCHECK: 65 of them would be a load of their own.
ARG FROM=ktrdr-base:bookworm
# hadolint ignore=DL3006
FROM ${FROM}
ARG REVISION
LABEL org.opencontainers.image.revision="${REVISION}"
ENV GROWTH_RELEASE=sha-${REVISION}
COPY app.py /
# -I -S: no site-packages are looked for, which is most of Python's start.
CMD ["python3", "-I", "-S", "/app.py"]
