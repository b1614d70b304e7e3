#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Asks the cenoted of this container, over its HTTP, whether it is well (the image has no curl).
# Usage: cenote-health [healthz|readyz]
# Where it listens: $CENOTE_HTTP, or what the file $CENOTE_CONFIG says, or 127.0.0.1:7480.
set -eu

at=${CENOTE_HTTP:-}
if [ -z "$at" ] && [ -f "${CENOTE_CONFIG:-}" ]; then
    at=$(sed -n 's/^[[:space:]]*http[[:space:]]*=[[:space:]]*\([^[:space:]#]*\).*/\1/p' "$CENOTE_CONFIG")
fi
at=${at:-127.0.0.1:7480}
case $at in
none | unix:*)
    echo "HTTP is at $at: nobody can be asked here"
    exit 0
    ;;
esac
host=${at%:*}
case $host in
0.0.0.0 | '[::]') host=127.0.0.1 ;;
esac
exec 3<>"/dev/tcp/${host//[\[\]]/}/${at##*:}"
printf 'GET /%s HTTP/1.1\r\nHost: cenote\r\nConnection: close\r\n\r\n' "${1:-healthz}" >&3
read -r -t 2 _ code _ <&3
echo "${1:-healthz}: $code"
[ "$code" = 200 ]
