# syntax=docker/dockerfile:1
# One file for every image of ours: docker build --build-arg SERVICE=vae_svc -t controlmesh/vae-svc:0.1.0 .
#   SERVICE          image
#   gateway          controlmesh/gateway
#   preprocess_svc   controlmesh/preprocess-svc
#   unet_svc         controlmesh/unet-svc      (with torch)
#   vae_svc          controlmesh/vae-svc
#   export           controlmesh/export        (with torch; the demo's export Job)
# The project's own CI has no Docker and does not build it; its tests check what can be checked without.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
ARG SERVICE
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml k8s/locked_subset.py requirements/mesh.lock requirements/torch.txt ./
RUN mkdir k8s requirements && mv locked_subset.py k8s/ && mv mesh.lock torch.txt requirements/
# Service -> extras of pyproject.toml. The hashed lock decides every version; torch has a wheel of its own for CPUs.
RUN <<'SH'
set -eu
case "$SERVICE" in
  gateway) extras="gateway" ;;
  preprocess_svc) extras="preprocess" ;;
  unet_svc) extras="unet torch-runtime" ;;
  vae_svc) extras="vae" ;;
  export) extras="export annotators torch-runtime" ;;
  *) echo "SERVICE is gateway, preprocess_svc, unet_svc, vae_svc or export, not '$SERVICE'" >&2; exit 2 ;;
esac
python k8s/locked_subset.py $extras > service.lock
/opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r service.lock
case "$extras" in
  *torch-runtime*)
    /opt/venv/bin/pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu \
      -r requirements/torch.txt ;;
esac
SH
# One service per image, without code that it can't run. The exporter takes the demo model and the client with it.
COPY . tree
RUN mkdir image && cp -r "tree/$SERVICE" image/ && if [ "$SERVICE" = export ]; \
    then cp -r tree/demo tree/client/controlmesh_client image/; fi

FROM python:${PYTHON}
ARG SERVICE
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app:/app/protos \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SERVICE=${SERVICE}
RUN groupadd --gid 10001 controlmesh && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin controlmesh
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY protos/controlmesh protos/controlmesh
COPY mesh mesh
COPY families families
COPY --from=build /src/image ./
USER 10001:10001
# exec, so that the service itself gets SIGTERM and drains.
ENTRYPOINT ["/bin/sh", "-c", "exec python -m \"$SERVICE\" \"$@\"", "--"]
