#!/usr/bin/env bash
# Prints the folder that holds etcd, kube-apiserver and kubectl for the tests; all else goes to standard error.
# Whatever is there is used; else what setup-envtest can download; else it is built, which takes about 10 minutes once.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.37.x
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  echo "$KUBEBUILDER_ASSETS"
  exit
fi
if [ -x out/controlplane/bin/kube-apiserver ]; then
  echo "$PWD/out/controlplane/bin"
  exit
fi
echo "looking for etcd and kube-apiserver with setup-envtest ..." >&2
if make --no-print-directory bin/tools/setup-envtest >&2 &&
  assets=$(timeout 60 bin/tools/setup-envtest use "$version" --bin-dir "$PWD/out/envtest" -p path 2>/dev/null); then
  echo "$assets"
  exit
fi
echo "setup-envtest cannot download here; building them from Go modules instead" >&2
go run ./hack/controlplane build >&2
echo "$PWD/out/controlplane/bin"
