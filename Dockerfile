FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 wsi \
    && install -d -o wsi -g wsi /app /store

USER wsi
WORKDIR /app
COPY --chown=wsi:wsi . .
RUN PIP_NO_CACHE_DIR=1 make install

# MALLOC_ARENA_MAX: glibc keeps an arena per thread otherwise, and memory that was freed with it
ENV PATH=/app/.venv/bin:$PATH \
    MALLOC_ARENA_MAX=2 \
    WSI_DICOM_STORE=/store
VOLUME /store
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/login', timeout=4)"]
# a container is reached from outside of it; everywhere else the default is 127.0.0.1
CMD ["wsi-dicom", "serve", "--host", "0.0.0.0", "--port", "8000"]
