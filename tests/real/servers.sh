# Servers of the real-server stage: what they are, how they start, how they stop. Sourced by `run`.
# shellcheck shell=bash

readonly PACKAGES=(kamailio:kamailio rtpengine:rtpengine-daemon sipp:sip-tester influxd:influxdb python3:python3 openssl:openssl turnserver:coturn)
declare -A server_pid=() server_command=() server_port=()
TLS_CA=

# Installs what is missing. Debian starts a service when it installs one: policy-rc.d forbids that, for this while.
install_missing() {
  local pair missing=()
  for pair in "${PACKAGES[@]}"; do
    PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  compgen -G "/usr/lib/*/kamailio/modules/tls.so" >/dev/null || missing+=(kamailio-tls-modules)
  compgen -G "/usr/lib/*/kamailio/modules/websocket.so" >/dev/null || missing+=(kamailio-websocket-modules)
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing: ${missing[*]}"
  local as_root=() policy=/usr/sbin/policy-rc.d failed=0
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" sh -c "[ ! -e $policy ] || mv $policy $policy.kept; printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy"
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
      >"$work/install.log" 2>&1 || failed=$?
  "${as_root[@]}" sh -c "rm -f $policy; [ ! -e $policy.kept ] || mv $policy.kept $policy"
  [ "$failed" = 0 ] || { tail -n 20 "$work/install.log"; return "$failed"; }
}

# start NAME COMMAND...: in the background, its output in a log.
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  server_pid[$name]=$!
  server_command[$name]=${*@Q}
}

# Starts each server anew that has ended by itself, and says so: the cases after it must not fail for that.
revive_servers() {
  local name
  for name in "${!server_pid[@]}"; do
    ! kill -0 "${server_pid[$name]}" 2>/dev/null || continue
    echo "ENDED BY ITSELF: $name, which is started anew; the end of its log:"
    tail -n 5 "$work/$name.log" | sed 's/^/     | /'
    mv "$work/$name.log" "$work/$name.ended.$SECONDS.log"
    KEEP=1
    # The robots find what they play here.
    cd "$work"
    eval "start $name ${server_command[$name]}"
    cd "$here"
    wait_udp "$name" "${server_port[$name]}"
  done
}

# Waits until the process listens on a UDP port, or fails with its log. A process that died is no longer asked for.
wait_udp() {
  local name=$1 port=$2 hex
  server_port[$name]=$port
  hex=$(printf ':%04X ' "$port")
  for _ in $(seq 100); do
    grep -qi "$hex" /proc/net/udp && return 0
    kill -0 "${server_pid[$name]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "$name does not listen on UDP port $port; the end of its log:"
  tail -n 20 "$work/$name.log"
  return 1
}

start_rtpengine() {
  start rtpengine rtpengine --table=-1 --config-file=none --interface=127.0.0.1 --listen-ng="127.0.0.1:$RTPENGINE_PORT" \
    --port-min="$RTP_BLOCK" --port-max=$((RTP_BLOCK + RTP_BLOCK_SIZE - 1)) --pidfile="$work/rtpengine.pid" \
    --foreground --log-stderr --log-level=4 --delete-delay=0 --timeout=60 --num-threads=2
  wait_udp rtpengine "$RTPENGINE_PORT"
}

# A CA of the stage's own, and a certificate of it for the PBX's domain.
make_certificates() {
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  TLS_CA=$work/ca.pem
  openssl req -x509 "${key[@]}" -days 2 -subj "/CN=Stage CA" -keyout "$work/ca.key" -out "$TLS_CA" 2>"$work/openssl.log"
  openssl req "${key[@]}" -subj "/CN=$SIP_DOMAIN" -keyout "$work/pbx.key" -out "$work/pbx.csr" 2>>"$work/openssl.log"
  openssl x509 -req -in "$work/pbx.csr" -CA "$TLS_CA" -CAkey "$work/ca.key" -CAcreateserial -days 2 -out "$work/pbx.pem" \
    -extfile <(echo "subjectAltName=DNS:$SIP_DOMAIN") 2>>"$work/openssl.log"
}

start_kamailio() {
  local name substitutions=() define=()
  for name in SIP_PORT TLS_PORT RTPENGINE_PORT FAR_PORT ROBOT_ECHO ROBOT_SILENCE ROBOT_NO_MEDIA ROBOT_BYE ROBOT_RING ROBOT_EARLY \
    ROBOT_NO_ANSWER; do
    substitutions+=("--substdef=!$name!${!name}!g")
  done
  [ "${RTPENGINE:-1}" = 0 ] || define=(-A WITH_RTPENGINE)
  start kamailio kamailio -DD -E -f "$here/kamailio.cfg" -P "$work/kamailio.pid" -Y "$work" -w "$work" -m 128 -M 8 \
    "${substitutions[@]}" "--substdef=!PASSWORD!$PROBE_PASSWORD!g" "--substdef=!REALM!$SIP_DOMAIN!g" \
    "--substdef=!RUN_DIR!$work!g" "${define[@]}"
  wait_udp kamailio "$SIP_PORT"
}

# robot NAME PORT MEDIA_PORT SCENARIO [OPTION...]
robot() {
  local name=$1 port=$2 media=$3 scenario=$4
  shift 4
  start "$name" sipp -sf "$here/sipp/$scenario.xml" -i 127.0.0.1 -bind_local -p "$port" -mi 127.0.0.1 -mp "$media" \
    -ci 127.0.0.1 -nostdin -timer_resol 5 -skip_rlimit -trace_err -error_file "$work/$name.err" "$@"
  wait_udp "$name" "$port"
}

start_robots() {
  # SIPp finds the files it plays in its working directory: µ-law silence, and a 400 Hz tone.
  python3 - "$work" <<'PY'
import math, struct, sys
def ulaw(x):
    sign, x = (0x80, -x) if x < 0 else (0, x)
    x = min(x, 32635) + 132
    exponent = x.bit_length() - 8
    return ~(sign | exponent << 4 | x >> (exponent + 3) & 15) & 255
open(sys.argv[1] + "/silence.ul", "wb").write(b"\xff" * 8000)
open(sys.argv[1] + "/tone.ul", "wb").write(bytes(ulaw(int(6000 * math.sin(math.pi * n / 10))) for n in range(8000)))
PY
  cd "$work"
  robot echo "$ROBOT_ECHO" "$MEDIA_ECHO" echo -rtp_echo
  robot silence "$ROBOT_SILENCE" "$MEDIA_SILENCE" silence
  robot no-media "$ROBOT_NO_MEDIA" "$MEDIA_NO_MEDIA" no-media
  robot far-end-bye "$ROBOT_BYE" "$MEDIA_BYE" far-end-bye -rtp_echo
  robot ring-for-ever "$ROBOT_RING" "$MEDIA_RING" ring-for-ever
  robot early-media "$ROBOT_EARLY" "$MEDIA_EARLY" early-media
  robot no-answer "$ROBOT_NO_ANSWER" "$MEDIA_NO_ANSWER" no-answer
  cd "$here"
}

start_servers() {
  set -a # the cases read the ports from the environment
  eval "$(python3 "$here/ports.py" SIP_PORT TLS_PORT RTPENGINE_PORT FAR_PORT ROBOT_ECHO ROBOT_SILENCE ROBOT_NO_MEDIA ROBOT_BYE \
    ROBOT_RING ROBOT_EARLY ROBOT_NO_ANSWER RTP_BLOCK=$RTP_BLOCK_SIZE MEDIA_ECHO=4 MEDIA_SILENCE=40 MEDIA_NO_MEDIA=4 \
    MEDIA_BYE=4 MEDIA_RING=4 MEDIA_EARLY=40 MEDIA_NO_ANSWER=4 LAB_PORT INFLUX_PORT FRONT_PORT \
    OTHER_LAB_PORT OTHER_INFLUX_PORT OTHER_FRONT_PORT ROBOT_CALLER MEDIA_CALLER=100 ASTERISK_PORT ASTERISK_RTP_BLOCK=$ASTERISK_RTP)"
  set +a
  export TLS_CA
  make_certificates && start_rtpengine && start_robots && start_kamailio
}

# Stops the processes that were started here, by their ids, and no others.
stop_servers() {
  local name
  for name in "${!server_pid[@]}"; do
    kill "${server_pid[$name]}" 2>/dev/null || :
  done
  for _ in $(seq 50); do
    kill -0 "${server_pid[@]}" 2>/dev/null || break
    sleep 0.1
  done
  for name in "${!server_pid[@]}"; do
    kill -9 "${server_pid[$name]}" 2>/dev/null || :
  done
  server_pid=()
}
