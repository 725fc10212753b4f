#!/usr/bin/env bash
# CPU time per 10,000 calls of signalling, Ringfleet's beside SIPp's: both call the same far end (`sipp -sn uas`) at the
# same rate, INVITE 180 200 ACK BYE 200 without audio. Not part of .ci/run: a figure for people, on a quiet machine.
#
#   [CALLS=10000] [RATE=200] [RINGFLEET=path] tests/bench/cpu_per_call.sh
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
calls=${CALLS:-10000} rate=${RATE:-200}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/ringfleet}
work=$(mktemp -d "${TMPDIR:-/tmp}/ringfleet-bench.XXXXXX")
far_end=
stop_far_end() { [ -z "$far_end" ] || { kill "$far_end" 2>/dev/null || :; wait "$far_end" 2>/dev/null || :; far_end=; }; }
trap 'stop_far_end; rm -rf "$work"' EXIT

command -v sipp >/dev/null || { echo "SIPp is missing: apt-get install sip-tester"; exit 1; }
if [ -z "${RINGFLEET:-}" ]; then
  (cd "$root" && cargo build --release --locked --quiet --bin ringfleet)
  RINGFLEET=$CARGO_TARGET_DIR/release/ringfleet
fi
eval "$(python3 "$root/tests/real/ports.py" PORT CALLER_PORT)"

cat >"$work/far-end.yaml" <<YAML
target: far-end
sip: { server: "sip:127.0.0.1:$PORT" }
trunks: { direct: { peer: "sip:127.0.0.1:$PORT", auth: ip } }
safety: { allow: ["^[0-9]{4}$"], max_cps: 10000, max_concurrent: 10000, max_calls: 1000000 }
YAML
cat >"$work/calls.yaml" <<YAML
scenario: calls
target: far-end
caller: { steps: [ { dial: { number: "1000", trunk: direct, media: none } }, hangup ] }
load: { rate: $rate/s, calls: $calls }
YAML

# measure NAME COMMAND...: a fresh far end for each, user and system seconds of the command alone.
measure() {
  local name=$1 code=0
  shift
  sipp -sn uas -i 127.0.0.1 -p "$PORT" -mp "$((PORT + 1000))" -nostdin >/dev/null 2>&1 &
  far_end=$!
  sleep 1
  TIMEFORMAT='%U %S %R'
  { time "$@" >"$work/$name.log" 2>&1 </dev/null || code=$?; } 2>"$work/$name.time"
  stop_far_end
  awk -v name="$name" -v calls="$calls" -v code=$code '{ printf "%-10s %6.2f s user + %5.2f s system = %6.2f s per 10,000 calls (%d calls in %.1f s, exit code %d)\n",
    name, $1 * 10000 / calls, $2 * 10000 / calls, ($1 + $2) * 10000 / calls, calls, $3, code }' "$work/$name.time"
  [ $code = 0 ] || tail -n 5 "$work/$name.log"
}

cd "$work"
measure sipp sipp -sn uac "127.0.0.1:$PORT" -i 127.0.0.1 -p "$CALLER_PORT" -r "$rate" -m "$calls" -nostdin
measure ringfleet "$RINGFLEET" run calls.yaml --target "$work/far-end.yaml" --out "$work/run" --quiet
python3 - "$work/run/summary.json" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
g = s["generator"]
print(f"ringfleet: verdict {s['verdict']}, {s['answered']} of {s['planned']} answered, latest start {g['late_ms']['max']} ms late")
PY
