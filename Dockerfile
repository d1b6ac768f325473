# Dependencies as locked, hashes checked; then the package on top. What only builds, tests or installs stays behind.
FROM python:3.11-slim AS libraries
RUN python -m venv /build && python -m venv --without-pip /app
COPY requirements-build.lock requirements.lock /src/
RUN /build/bin/pip install --no-cache-dir --no-deps --require-hashes -r /src/requirements-build.lock
# The tests that libraries bring along are 80 MB, and nothing imports them.
RUN /build/bin/pip --python /app/bin/python install --no-cache-dir --no-deps --require-hashes -r /src/requirements.lock \
 && find /app/lib -type d -name tests -prune -exec rm -rf {} +

FROM libraries AS package
COPY pyproject.toml README.md LICENSE /src/
COPY kcloud_autoscale /src/kcloud_autoscale
COPY models /src/models
RUN cd /src \
 && /build/bin/hatchling build --target wheel --directory /dist \
 && /build/bin/pip --python /app/bin/python install --no-cache-dir --no-deps --no-index --root /installed /dist/*.whl

FROM python:3.11-slim
# Nothing is installed any more.
RUN rm -rf /usr/local/lib/python3.11/site-packages/* /usr/local/bin/pip*
# In layers of their own: an upgrade of the operator alone is 5 MB.
COPY --from=libraries /app /app
COPY --from=package /installed/app /app
# The uid has no entry in /etc/passwd: what asks for its name or its home is told here.
ENV PATH=/app/bin:$PATH HOME=/nonexistent USER=kcloud \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
USER 65532:65532
ENTRYPOINT ["kcloud-autoscale"]
CMD ["run"]
