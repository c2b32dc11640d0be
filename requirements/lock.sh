#!/usr/bin/env bash
# Rewrites the locked requirements. torch is left out (see torch.txt); its small dependencies are locked by an extra.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(--generate-hashes --no-header --no-annotate --no-emit-index-url --universal --python-version 3.11
       --index-strategy unsafe-best-match --quiet)
uv pip compile pyproject.toml --all-extras --override requirements/without-torch.txt --no-emit-package torch --no-emit-package torchvision --no-emit-package timm \
  "${flags[@]}" -o requirements/mesh.lock
uv pip compile requirements/model-server.in --no-deps "${flags[@]}" -o requirements/model-server.lock
