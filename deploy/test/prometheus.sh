#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A real Prometheus with deploy/prometheus' configuration, its alerts and the dashboard's expressions
# on a real pool: see prometheus.py.
# Usage: deploy/test/prometheus.sh [--quick]    the same either way
set -eu
cd "$(dirname "$0")/../.."
code=0
/usr/bin/python3 deploy/test/prometheus.py || code=$?
exit "$code"
