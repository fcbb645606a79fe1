#!/usr/bin/env bash
# Installs what the tests of recording need, on Debian as root: ffmpeg and nginx with its RTMP module. Elsewhere it does nothing, and
# those tests are skipped.
set -euo pipefail

command -v ffmpeg ffprobe nginx >/dev/null && [ -e /usr/lib/nginx/modules/ngx_rtmp_module.so ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "ffmpeg, or nginx with its RTMP module, is not installed: the tests that record are skipped" >&2
  exit 0
fi
echo "installing ffmpeg and nginx with its RTMP module, about a minute, once ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ffmpeg nginx libnginx-mod-rtmp >/dev/null
# Only its binary is needed.
service nginx stop >/dev/null 2>&1 || true
