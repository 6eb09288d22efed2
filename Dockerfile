# The web page and the HTTP API of inkdigits: docker compose up, or
#   docker build -t inkdigits . && docker run --rm -p 127.0.0.1:8000:8000 -v inkdigits:/data inkdigits
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
# Versions are bounded in pyproject.toml; the lock file is for development and holds every extra.
# hadolint ignore=DL3013
RUN python -m pip install --no-cache-dir --prefix=/install ".[web]"

FROM python:3.13-slim
COPY --from=build /install /usr/local
# Corrections are all that is kept.
ENV INKDIGITS_HOME=/data PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 inkdigits && install --directory --owner=inkdigits /data
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# Inside a container 0.0.0.0 is the container's own network; publish the port on 127.0.0.1 or set INKDIGITS_TOKEN.
CMD ["inkdigits", "serve", "--host", "0.0.0.0", "--port", "8000"]
