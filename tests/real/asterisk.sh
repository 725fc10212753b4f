# Asterisk for the real-server stage, where ASTERISK=1 asks for it. Debian 12 has none: that of Debian 11 is installed into
# a folder of its own (ASTERISK_ROOT, default ~/.cache/ringfleet-asterisk; some 400 MB, three minutes) and run in it by
# chroot, on loopback only. Sourced by `run`; needs root or sudo.
# shellcheck shell=bash

readonly ASTERISK_ROOT=${ASTERISK_ROOT:-$HOME/.cache/ringfleet-asterisk}
readonly BULLSEYE_MIRROR=${BULLSEYE_MIRROR:-http://deb.debian.org/debian}
readonly ASTERISK_RTP=200
ASTERISK_STAGE=

AS_ROOT=()
[ "$(id -u)" = 0 ] || AS_ROOT=(sudo)

# Installs it, unless it is there. A folder that was left half done is begun anew.
install_asterisk() {
  [ ! -e "$ASTERISK_ROOT/.installed" ] || return 0
  echo "installing Asterisk into $ASTERISK_ROOT"
  command -v debootstrap >/dev/null || { "${AS_ROOT[@]}" apt-get update -qq && "${AS_ROOT[@]}" apt-get install -y -qq --no-install-recommends debootstrap; } \
    >>"$work/install.log" 2>&1
  "${AS_ROOT[@]}" rm -rf "$ASTERISK_ROOT"
  mkdir -p "$(dirname "$ASTERISK_ROOT")"
  {
    "${AS_ROOT[@]}" debootstrap --variant=minbase bullseye "$ASTERISK_ROOT" "$BULLSEYE_MIRROR" &&
      # No service may be started in there.
      printf '#!/bin/sh\nexit 101\n' | "${AS_ROOT[@]}" tee "$ASTERISK_ROOT/usr/sbin/policy-rc.d" &&
      "${AS_ROOT[@]}" chmod +x "$ASTERISK_ROOT/usr/sbin/policy-rc.d" &&
      "${AS_ROOT[@]}" chroot "$ASTERISK_ROOT" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends asterisk &&
      "${AS_ROOT[@]}" chroot "$ASTERISK_ROOT" apt-get clean &&
      "${AS_ROOT[@]}" touch "$ASTERISK_ROOT/.installed"
  } >>"$work/install.log" 2>&1 </dev/null || { tail -n 20 "$work/install.log"; return 1; }
}

# Starts it with the stage's configuration, in a folder of this run.
start_asterisk() {
  local file first=$ASTERISK_RTP_BLOCK
  ASTERISK_STAGE=/tmp/$(basename "$work")
  "${AS_ROOT[@]}" mkdir -p "$ASTERISK_ROOT$ASTERISK_STAGE"
  for file in "$here"/asterisk/*.conf; do
    sed -e "s!@STAGE@!$ASTERISK_STAGE!g; s!@PORT@!$ASTERISK_PORT!g; s!@PASSWORD@!$PROBE_PASSWORD!g" \
      -e "s!@RTP_FIRST@!$first!g; s!@RTP_LAST@!$((first + ASTERISK_RTP - 1))!g" "$file" |
      "${AS_ROOT[@]}" tee "$ASTERISK_ROOT$ASTERISK_STAGE/$(basename "$file")" >/dev/null
  done
  start asterisk "${AS_ROOT[@]}" chroot "$ASTERISK_ROOT" asterisk -f -C "$ASTERISK_STAGE/asterisk.conf"
  wait_udp asterisk "$ASTERISK_PORT"
}

# Removes this run's configuration; the process is stopped with the other servers.
clear_asterisk() {
  [ -z "$ASTERISK_STAGE" ] || "${AS_ROOT[@]}" rm -rf "${ASTERISK_ROOT:?}$ASTERISK_STAGE"
}
