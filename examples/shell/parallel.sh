#!/bin/sh
# Enlarges a folder with GNU parallel: JOBS processes at once, each with its share of the cores.
#
#   parallel.sh PHOTOS RESULTS [OPTION...]
#
# OPTIONs go to `img2img upscale`. JOBS (2) is the number of processes. One `img2img upscale PHOTOS` uses all cores too,
# and less memory. Separate processes pay for hundreds of small pictures, or with --ssh-login-file, on several machines.
set -eu
: "${IMG2IMG:=img2img}" "${JOBS:=2}"
[ $# -ge 2 ] || { echo 'usage: parallel.sh PHOTOS RESULTS [OPTION...]' >&2; exit 2; }
photos=$1 results=$2
shift 2
cores=$(getconf _NPROCESSORS_ONLN)
threads=$((cores / JOBS))
[ "$threads" -ge 1 ] || threads=1

# A shard is every JOBS-th picture. All processes compute the same shards from the names. parallel ends with the number
# of shards that failed.
seq "$JOBS" | parallel --jobs "$JOBS" --quote "$IMG2IMG" upscale -q "$photos" --recursive -o "$results/" \
    --shard "{}/$JOBS" --threads "$threads" "$@"
