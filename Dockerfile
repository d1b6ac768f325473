# Dependencies as locked, hashes checked; then the package on top.
FROM python:3.11-slim AS build
RUN python -m venv /app
COPY requirements.lock /src/
RUN /app/bin/pip install --no-cache-dir --no-deps --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY kcloud_autoscale /src/kcloud_autoscale
COPY models /src/models
RUN /app/bin/pip install --no-cache-dir --no-deps /src

FROM python:3.11-slim
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
USER 65532:65532
ENTRYPOINT ["kcloud-autoscale"]
CMD ["run"]
