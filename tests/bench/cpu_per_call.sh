#!/usr/bin/env bash
# CPU of a caller per 10,000 calls, beside SIPp's: `tests/bench/cpu_per_call.sh [PAIRS]`, default 3.
#
# Both place CALLS calls (default 20000) at RATE per second (default 1000) without audio (INVITE, 180, 200, ACK, BYE,
# 200) to the same far end, `sipp -sn uas`, one after the other in pairs whose order alternates. CPU is user + system
# of the whole process, reports included, as the kernel says it when the process has ended. SIPp takes one thread, and
# so does the worker of Ringfleet. Needs SIPp and a quiet machine; not part of CI.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
pairs=${1:-3} calls=${CALLS:-20000} rate=${RATE:-1000}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/ringfleet}
command -v sipp >/dev/null || { echo "needs sipp (Debian: apt-get install sip-tester)"; exit 1; }
[ -n "${RINGFLEET:-}" ] || (cd "$root" && cargo build --release --locked --bin ringfleet)
ringfleet=${RINGFLEET:-$CARGO_TARGET_DIR/release/ringfleet}
work=$(mktemp -d "${TMPDIR:-/tmp}/ringfleet-bench.XXXXXX") far=
trap 'kill $far 2>/dev/null || :; rm -rf "$work"' EXIT
eval "$(python3 "$root/tests/real/ports.py" FAR_PORT CALLER_PORT)"

cat >"$work/target.yaml" <<YAML
target: uas
sip: { server: "sip:127.0.0.1:$FAR_PORT" }
numbers: { service: "2000" }
safety: { allow: ["^2000$"], max_cps: $rate, max_calls: $calls, max_concurrent: 5000 }
YAML
cat >"$work/signalling.yaml" <<YAML
scenario: signalling
target: target.yaml
caller: { steps: [ { dial: { number: service, answer_within: 10s, media: none } }, hangup ] }
load: { rate: $rate/s, calls: $calls }
expect: [ { each: { outcome: answered } } ]
YAML

cd "$work"
sipp -sn uas -i 127.0.0.1 -p "$FAR_PORT" -nostdin -skip_rlimit >"$work/uas.log" 2>&1 </dev/null &
far=$!
sleep 1

# cpu COMMAND...: runs it and prints the seconds of CPU that it took.
cpu() {
  python3 - "$@" <<'PY'
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=open("out.log", "w"), stderr=subprocess.STDOUT)
_, status, used = os.wait4(process.pid, 0)
if status:
    sys.exit(f"{' '.join(sys.argv[1:])}\nended with {os.waitstatus_to_exitcode(status)}:\n{open('out.log').read()[-2000:]}")
print(f"{used.ru_utime + used.ru_stime:.3f}")
PY
}

ours() { rm -rf run; cpu "$ringfleet" run signalling.yaml --out run --quiet; }
theirs() {
  cpu sipp -sn uac "127.0.0.1:$FAR_PORT" -i 127.0.0.1 -p "$CALLER_PORT" -m "$calls" -r "$rate" -l 5000 -nostdin -skip_rlimit
}

echo "$calls calls at $rate/s, CPU seconds per 10,000 calls (user + system):"
printf '%6s %12s %12s %8s\n' pair ringfleet sipp ratio
for pair in $(seq "$pairs"); do
  if [ $((pair % 2)) = 1 ]; then a=$(ours) b=$(theirs); else b=$(theirs) a=$(ours); fi
  echo "$a $b" >>figures
  python3 -c "print(f'{$pair:6} {$a * 1e4 / $calls:12.3f} {$b * 1e4 / $calls:12.3f} {$a / $b:8.2f}')"
done
python3 - "$calls" <<'PY'
import statistics, sys
pairs = [tuple(map(float, line.split())) for line in open("figures")]
ours, theirs = (statistics.median(column) * 1e4 / int(sys.argv[1]) for column in zip(*pairs))
ratio = statistics.median(a / b for a, b in pairs)
print(f"{'median':>6} {ours:12.3f} {theirs:12.3f} {ratio:8.2f}")
PY
