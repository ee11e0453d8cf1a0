#!/usr/bin/env bash
# Speaks the interviewer's lines (lines.txt) into Ogg Opus clips, next to this file.
#
# Only needed when a line changes: the clips are committed, so neither a build nor
# a running sandbox needs a speech synthesiser.
#
#   Debian/Ubuntu: apt-get install espeak-ng opus-tools sox
set -euo pipefail
cd "$(dirname "$0")"

for tool in espeak-ng opusenc sox; do
  command -v "$tool" >/dev/null || { echo "make_clips.sh: $tool is not installed" >&2; exit 1; }
done

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

while IFS='|' read -r name text; do
  case "$name" in '' | '#'*) continue ;; esac
  # A slower pace, a slightly lower pitch and longer gaps between words make the
  # voice easier to listen to than the defaults.
  espeak-ng -v en-gb -s 150 -p 42 -g 2 -w "$scratch/raw.wav" "$text"
  # 48 kHz mono with the edges faded, so that joined clips do not click. The line
  # is padded a little: two clips in a row are one sentence after the other.
  sox "$scratch/raw.wav" -r 48000 -c 1 "$scratch/line.wav" \
    norm -4 lowpass 6500 silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse \
    fade t 0.01 reverse fade t 0.03 reverse pad 0.04 0.22
  # 16 kb/s, 20 ms packets: what the sandbox sends as they are, one per RTP packet.
  opusenc --quiet --bitrate 16 --framesize 20 --speech --discard-comments \
    --serial 1 --padding 0 "$scratch/line.wav" "$name.opus"
done <lines.txt
