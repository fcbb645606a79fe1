#!/usr/bin/env bash
# Runs every fuzz target of the repository one after the other, each for the given time, and lists those that failed.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
failed=()
while IFS=: read -r file target; do
  echo "== $target in $(dirname "$file")"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" || failed+=("$target in $(dirname "$file")")
done < <(git ls-files --cached --others --exclude-standard '*_test.go' | sort | xargs grep -Eo '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
