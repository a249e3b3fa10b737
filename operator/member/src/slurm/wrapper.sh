#!/bin/sh
# Written by Sky Manager, the same for every job: what differs comes in by the environment, as values.
index=${SLURM_ARRAY_TASK_ID:-0}
if [ -n "$SKY_JOB" ]; then
  retries=${SKY_SLURM_RETRIES:-0}
  if [ "${SLURM_RESTART_COUNT:-0}" -gt "$retries" ]; then
    echo "sky: Slurm started this replica again, and its backoffLimit leaves no other try" >&2
    exit 190
  fi
  # slurmctld saves its state every few seconds: killed in between, it starts again what had run. Each start leaves a mark
  # beside the output, and its exit code in it.
  try=0
  while ! mkdir "$SKY_SLURM_MARK-$index.$try" 2>/dev/null && [ -d "$SKY_SLURM_MARK-$index.$try" ]; do
    if [ "$try" -ge "$retries" ] || [ "$(cat "$SKY_SLURM_MARK-$index.$try/code" 2>/dev/null)" = 0 ]; then
      echo "sky: this replica has run already, and slurmctld did not know" >&2
      exit "$(cat "$SKY_SLURM_MARK-$index.$try/code" 2>/dev/null || echo 190)"
    fi
    try=$((try + 1))
  done
  mark=$SKY_SLURM_MARK-$index.$try
  JOB_COMPLETION_INDEX=$index
  SKY_RANK=$(IFS=,; set -- $SKY_RANKS; shift "$index"; echo "$1")
  export JOB_COMPLETION_INDEX SKY_RANK
fi
set --
word=0
while [ "$word" -lt "$SKY_SLURM_WORDS" ]; do
  eval "set -- \"\$@\" \"\$SKY_SLURM_WORD_$word\""
  unset "SKY_SLURM_WORD_$word"
  word=$((word + 1))
done
unset SKY_SLURM_WORDS SKY_SLURM_RETRIES SKY_SLURM_MARK word index try
# Replicas of a SkyDeployment are submitted again when they end.
[ -n "$SKY_JOB" ] || exec "$@"
while :; do
  "$@"
  code=$?
  if [ "$code" -eq 0 ] || [ "$retries" -le 0 ]; then
    [ -d "$mark" ] && echo "$code" 2>/dev/null >"$mark/code"
    exit "$code"
  fi
  retries=$((retries - 1))
done
