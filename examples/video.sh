#!/bin/sh
# Enlarges a video with img2img and keeps its sound.
#
#   video.sh IN OUT [SCALE [OPTION...]]
#
# IN is any file that ffmpeg reads. OUT gets H.264 and the unchanged sound of IN, in the container that its extension
# names (mp4, mkv, mov). SCALE is a whole number; the default is 4. Options go to `img2img upscale`:
#
#   video.sh holiday.mp4 large.mp4
#   video.sh holiday.mp4 large.mkv 2 -m RUN/model.onnx --device cuda
#
# Frames go through pipes. There are no temporary files except OUT itself, which has another name until it is complete.
# FFMPEG and IMG2IMG name the programs if they are not on the path. CRF (18) is the quality; lower is better.
set -eu
: "${FFMPEG:=ffmpeg}" "${IMG2IMG:=img2img}" "${CRF:=18}"

die() {
    printf 'video.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

[ $# -ge 2 ] || die 'usage: video.sh IN OUT [SCALE [OPTION...]]' 2
in=$1 out=$2 scale=${3:-4}
shift 2
[ $# -eq 0 ] || shift
case $scale in
    '' | 0* | *[!0-9]*) die "$scale: SCALE must be a whole number, such as 2 or 4" 2 ;;
esac
case ${out##*/} in
    *.*) ;;
    *) die "$out: OUT needs an extension, such as .mp4" 2 ;;
esac
[ -f "$in" ] || die "$in: no such file" 2
[ ! -e "$out" ] || die "$out: exists; remove it, or choose another name" 2
for program in "$FFMPEG" "$IMG2IMG"; do
    command -v "$program" > /dev/null || die "$program: not found; install it, or set FFMPEG or IMG2IMG" 2
done
case $in in /*) ;; *) in=./$in ;; esac # so that ffmpeg takes no name for an option or a protocol
case $out in /*) ;; *) out=./$out ;; esac

# A frame as YUV4MPEG2 begins with a line such as "YUV4MPEG2 W640 H360 F25:1 Ip A1:1 ...": the size as shown (phones
# store rotated videos), frames per second, and the shape of a pixel. V: no cover pictures.
header=$("$FFMPEG" -nostdin -v error -i "$in" -map 0:V:0 -frames:v 1 -pix_fmt yuv420p -f yuv4mpegpipe - |
    { IFS= read -r line || :; cat > /dev/null; printf '%s' "$line"; })
width='' height='' rate='' aspect=1/1
for word in $header; do
    case $word in
        YUV4MPEG2) ;;
        W*) width=${word#W} ;;
        H*) height=${word#H} ;;
        F*) rate=${word#F} rate=${rate%:*}/${rate#*:} ;;
        A0:*) ;; # not known
        A*) aspect=${word#A} aspect=${aspect%:*}/${aspect#*:} ;;
    esac
done
[ -n "$width" ] && [ -n "$height" ] && [ -n "$rate" ] || die "$in: ffmpeg finds no video in it"
large=$((width * scale))x$((height * scale))

part=${out%/*}/.part-$$-${out##*/}
trap 'rm -f "$part"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The status of a pipeline is that of its last program, and not every sh has pipefail. So each stage that fails writes
# a word to descriptor 3.
tags=setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709,setsar=$aspect
# Both ends name the rate, so that a video with a varying rate gets a fixed one and stays in step with its sound. HD
# players expect the BT.709 matrix, which ffmpeg does not choose by itself. H.264 needs even sides.
failed=$({
    { "$FFMPEG" -nostdin -v error -i "$in" -map 0:V:0 -r "$rate" -f rawvideo -pix_fmt rgb24 - || echo reading >&3; } |
        { "$IMG2IMG" upscale --raw "${width}x$height" - -o - --scale "$scale" "$@" || echo upscaling >&3; } |
        { "$FFMPEG" -nostdin -v error -f rawvideo -pix_fmt rgb24 -s "$large" -r "$rate" -i - -i "$in" \
            -map 0:v -map '1:a?' -map_metadata 1 -c:a copy -c:v libx264 -crf "$CRF" \
            -vf "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,$tags" \
            -y "$part" > /dev/null || echo writing >&3; }
} 3>&1)
[ -z "$failed" ] || die "failed: $(printf '%s' "$failed" | tr '\n' ' '); $out was not made"
mv "$part" "$out"
