#!/bin/sh
# Written by Sky Manager, the same for every job: what differs comes in by the environment, as values.
retries=${SKY_SLURM_RETRIES:-0}
index=${SLURM_ARRAY_TASK_ID:-0}
if [ "${SLURM_RESTART_COUNT:-0}" -gt "$retries" ]; then
  echo "sky: Slurm started this replica again, and its backoffLimit leaves no other try" >&2
  exit 190
fi
JOB_COMPLETION_INDEX=$index
SKY_RANK=$(IFS=,; set -- $SKY_RANKS; shift "$index"; echo "$1")
export JOB_COMPLETION_INDEX SKY_RANK
set --
word=0
while [ "$word" -lt "$SKY_SLURM_WORDS" ]; do
  eval "set -- \"\$@\" \"\$SKY_SLURM_WORD_$word\""
  unset "SKY_SLURM_WORD_$word"
  word=$((word + 1))
done
unset SKY_SLURM_WORDS SKY_SLURM_RETRIES word index
if [ "$retries" -eq 0 ]; then
  exec "$@"
fi
while :; do
  "$@"
  code=$?
  if [ "$code" -eq 0 ] || [ "$retries" -le 0 ]; then
    exit "$code"
  fi
  retries=$((retries - 1))
done
