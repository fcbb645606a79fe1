#!/usr/bin/env bash
# Fails when the generated files are not what `make generate manifests` makes. It compares contents, not the git status, so
# that it also works in a tree with uncommitted work.
set -euo pipefail
cd "$(dirname "$0")/.."

sums() { find api config/crd/bases config/rbac docs/spec -type f \( -name 'zz_generated*' -o -path '*/bases/*' -o -name role.yaml -o -path 'docs/spec/*' \) -print0 | sort -z | xargs -0 sha256sum; }

before=$(sums)
make --no-print-directory generate manifests
if ! diff <(echo "$before") <(sums); then
  echo "generated files were out of step with their sources; make generate manifests has mended them: commit the result" >&2
  exit 1
fi
