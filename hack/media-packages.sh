#!/usr/bin/env bash
# Installs what the tests of recording need, on Debian as root: ffmpeg and nginx with its RTMP module, and with the argument node also
# what a node needs. Elsewhere it does nothing, and those tests are skipped.
set -euo pipefail

packages=()
command -v ffmpeg ffprobe >/dev/null || packages+=(ffmpeg)
[ -e /usr/lib/nginx/modules/ngx_rtmp_module.so ] || packages+=(nginx libnginx-mod-rtmp)
if [ "${1:-}" = node ]; then
  command -v containerd >/dev/null || packages+=(containerd)
  command -v runc >/dev/null || packages+=(runc)
  command -v iptables >/dev/null || packages+=(iptables)
  command -v conntrack >/dev/null || packages+=(conntrack)
  command -v ip >/dev/null || packages+=(iproute2)
  [ -e /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
fi
[ ${#packages[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed: ${packages[*]}; the tests that need them are skipped" >&2
  exit 0
fi
echo "installing ${packages[*]}, about a minute, once ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
# Only their programs are needed.
service nginx stop >/dev/null 2>&1 || true
service containerd stop >/dev/null 2>&1 || true
