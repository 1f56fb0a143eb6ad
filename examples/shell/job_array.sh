#!/bin/sh
#SBATCH --job-name=upscale
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --requeue
# Enlarges an archive with a job array of Slurm.
#
#   sbatch job_array.sh PHOTOS RESULTS [OPTION...]
#
# OPTIONs go to `img2img upscale`. Each task takes its share of the photos. A task that was stopped or requeued continues
# where it was. Submit the same line again after adding photos: finished ones are skipped.
set -eu
: "${IMG2IMG:=img2img}"
[ $# -ge 2 ] || { echo 'usage: sbatch job_array.sh PHOTOS RESULTS [OPTION...]' >&2; exit 2; }
photos=$1 results=$2
shift 2

exec "$IMG2IMG" upscale "$photos" --recursive -o "$results/" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --threads "$SLURM_CPUS_PER_TASK" "$@"
