#!/usr/bin/env bash
# Prints a kustomization of a folder (config/default, relative to where it will be) with images of one's own, so that no tracked file has to be edited.
set -euo pipefail
base=$1 image=$2 worker=$3
cat <<END
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [$base]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: livestream-receiver, namespace: livestream-system}
    spec: {template: {spec: {containers: [{name: manager, image: "$image"}]}}}
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: livestream-reconciler, namespace: livestream-system}
    spec: {template: {spec: {containers: [{name: manager, image: "$image", env: [{name: WORKER_IMAGE, value: "$worker"}]}]}}}
END
