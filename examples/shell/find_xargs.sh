#!/bin/sh
# Enlarges every JPEG below a folder, with find and xargs.
#
#   find_xargs.sh PHOTOS RESULTS [OPTION...]
#
# OPTIONs go to `img2img upscale`. Each call gets up to 200 photos, because a call loads its model once. Results keep the
# names and subfolders of the photos. Run it again to continue: finished photos are skipped.
set -eu
: "${IMG2IMG:=img2img}"
[ $# -ge 2 ] || { echo 'usage: find_xargs.sh PHOTOS RESULTS [OPTION...]' >&2; exit 2; }
photos=$1 results=$2
shift 2
mkdir -p "$results"
results=$(cd "$results" && pwd)

# xargs ends with 123 if a call failed.
cd "$photos"
find . -type f -iname '*.jp*g' -print0 | xargs -0 -r -n 200 "$IMG2IMG" upscale -q \
    -o "$results/{dir}/{stem}.{ext}" "$@" --
