#!/bin/sh
# Enlarges what arrives in a folder, until it is stopped.
#
#   watch_folder.sh INCOMING RESULTS [OPTION...]
#
# OPTIONs go to `img2img upscale`. The folder is read every SECONDS (2). A file counts as complete once it has not changed
# for that long. Whatever the journal in RESULTS lists as finished is skipped, also after a restart. Broken files are
# reported once.
set -eu
: "${IMG2IMG:=img2img}" "${SECONDS_BETWEEN:=2}"
[ $# -ge 2 ] || { echo 'usage: watch_folder.sh INCOMING RESULTS [OPTION...]' >&2; exit 2; }
incoming=$1 results=$2
shift 2
[ -d "$incoming" ] || { echo "watch_folder.sh: $incoming: no such folder" >&2; exit 2; }
trap 'exit 0' INT TERM
seen=''

while :; do
    # Names, sizes and times: two equal lists in a row mean that nothing is being written.
    now=$(ls -lR "$incoming")
    if [ "$now" = "$seen" ] && [ "$now" != "${finished:-}" ]; then
        "$IMG2IMG" upscale -q "$incoming" --recursive -o "$results/" "$@" || echo 'watch_folder.sh: some failed' >&2
        finished=$now
    fi
    seen=$now
    sleep "$SECONDS_BETWEEN"
done
