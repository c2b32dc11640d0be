#!/usr/bin/env bash
# Drain clients before Envoy is stopped: report "not ready", tell connections to close after their answer, and return
# when nothing is in flight at the edge or after LIMIT seconds. Envoy itself exits at once on SIGTERM.
# Usage: drain.sh LIMIT [ADMIN_PORT]
set -euo pipefail
limit=$1
port=${2:-9901}

# The image has no HTTP client; bash opens the connection itself.
admin() {
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf '%s %s HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}

in_flight() {
  admin GET '/stats?filter=^http\.edge\.downstream_rq_active$' | sed -n 's/^http\.edge\.downstream_rq_active: \([0-9]*\).*/\1/p'
}

admin POST /healthcheck/fail >/dev/null
# Load balancers notice at their next check that this pod is stopping; until then it still accepts requests.
sleep 5
admin POST '/drain_listeners?graceful&skip_exit' >/dev/null
while ((SECONDS < limit)) && [[ $(in_flight) != 0 ]]; do
  sleep 1
done
