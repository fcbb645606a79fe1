#!/usr/bin/env bash
# Puts a table of every field, made of the comments in api/v1alpha1, at the end of each kind's page.
set -euo pipefail
cd "$(dirname "$0")/../.."

mark='<!-- below: made by make generate from the comments in api/v1alpha1 -->'
table=$(mktemp)
trap 'rm -f "$table"' EXIT
for kind in LiveStream PushDomain; do
  page=docs/spec/${kind,,}.md
  bin/tools/crd-ref-docs --log-level=ERROR --renderer=markdown --config=hack/fields/config.yaml --templates-dir=hack/fields \
    --template-value="kind=$kind" --source-path=api/v1alpha1 --output-path="$table"
  grep -qxF "$mark" "$page" || { echo "$page has lost its line: $mark" >&2; exit 1; }
  head=$(sed "\|^$mark\$|q" "$page")
  printf '%s\n\n' "$head" | cat - "$table" >"$page.new"
  mv "$page.new" "$page"
done
