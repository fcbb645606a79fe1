#!/usr/bin/env bash
# Runs every fuzz target of the repository one after the other, each for the given time, and lists those that failed.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
while IFS=: read -r file target; do
  echo "== $target in $(dirname "$file")"
  if ! go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" 2>&1 | tee "$log"; then
    # On a busy machine Go's fuzzer may take the end of the time itself for a failure; it names no input then.
    if grep -q 'context deadline exceeded' "$log" && ! grep -Eq 'Failing input|panic|fatal error|_test\.go' "$log"; then
      echo "its time ran out while an input was tried; nothing failed"
    else
      failed+=("$target in $(dirname "$file")")
    fi
  fi
done < <(git ls-files --cached --others --exclude-standard '*_test.go' | sort | xargs grep -Eo '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
