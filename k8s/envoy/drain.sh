#!/usr/bin/env bash
# Drain clients before Envoy is stopped: report "not ready", tell connections to close after their answer, and return
# when nothing is in flight on any listener or after LIMIT seconds. Envoy itself exits at once on SIGTERM.
# Usage: drain.sh LIMIT [ADMIN_SOCKET]
set -euo pipefail
limit=$1
socket=${2:-/tmp/envoy-admin.sock}

# The image has no HTTP client, and bash opens no Unix sockets; perl is part of every Debian and Ubuntu.
admin() {
  perl -MIO::Socket::UNIX -e '
    my ($path, $method, $target) = @ARGV;
    my $admin = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!\n";
    print $admin "$method $target HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    $admin->flush;
    print while <$admin>;
  ' "$socket" "$1" "$2"
}

# Clients at the edge, callers at the internal listener, and what the gateway has the services do.
in_flight() {
  admin GET '/stats?filter=^http\.(edge|internal|mesh)\.downstream_rq_active$' |
    awk -F': ' '/^http\./ {sum += $2} END {print sum + 0}'
}

admin POST /healthcheck/fail >/dev/null
# Load balancers notice at their next check that this pod is stopping; until then it still accepts requests.
sleep 5
admin POST '/drain_listeners?graceful&skip_exit' >/dev/null
while ((SECONDS < limit)) && [[ $(in_flight) != 0 ]]; do
  sleep 1
done
