#!/usr/bin/env bash
# Installs a requirements file into an environment and says how far it is: install.sh ENVIRONMENT FILE [pip's flags].
set -euo pipefail
environment=$1 file=$2
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
total=$(grep -c '^[a-zA-Z].*==' "$file")
if ! "$environment/bin/pip" install --disable-pip-version-check --progress-bar off "$@" -r "$file" 2>&1 | tee "$log" |
  awk -v total="$total" -v file="$file" '
    /^(Collecting|Requirement already satisfied:|Ignoring) / { done += 1
      if (done <= total && (done % 10 == 0 || done == total)) { printf "  %s: %d of %d packages found\n", file, done, total; fflush() } }
    /^Installing collected packages/ { printf "  %s: installing\n", file; fflush() }'; then
  tail -n 20 "$log" >&2
  exit 1
fi
