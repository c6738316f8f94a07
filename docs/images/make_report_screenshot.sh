#!/bin/sh
# Remake docs/images/report.png: the top of the report of suite quick for linucb.
# Usage: docs/images/make_report_screenshot.sh [RUN_DIR]
# RUN_DIR is a finished run; without it the suite is run first. Needs tasteshift on the PATH, and
# chromium or the browser that $CHROMIUM names.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
run=${1:-$(mktemp -d)/linucb}
if [ -e "$run/report.html" ]; then
    tasteshift report "$run"
else
    tasteshift run quick --agent linucb --out "$run"
fi
run=$(cd "$run" && pwd)
"${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --hide-scrollbars \
    --window-size=1200,1120 --screenshot="$folder/report.png" "file://$run/report.html"
