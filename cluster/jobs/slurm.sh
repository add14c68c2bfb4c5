#!/bin/bash
# SPDX-License-Identifier: MPL-2.0
# A film as a SLURM array job: a task for each piece, then one that joins them.
#
#   cluster/jobs/slurm.sh film.mkv painted.mp4 --seconds 60 --style great-wave -- stability=0.8
#
# Run on a login node; all nodes see the input and the folder of the output. What stands behind the output goes to
# `stylize plan`. The same command again submits the pieces that are missing. PARTITION, GRES (such as gpu:1),
# CPUS (per piece, default 4), TIME (per piece, default 01:00:00) and STYLIZE (the program) come from the environment.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '3,10s/^# \{0,1\}//p' "$0"
    exit 2
fi
stylize=${STYLIZE:-stylize}
input=$1 output=$2
shift 2
pieces=$output.pieces
mkdir -p "$pieces"
pieces=$(readlink -f "$pieces")
[ -s "$pieces/plan.json" ] || {
    "$stylize" plan "$input" "$output" "$@" >"$pieces/plan.json.part"
    mv "$pieces/plan.json.part" "$pieces/plan.json"
}
count=$(grep -c '"start":' "$pieces/plan.json")
missing=$(for ((i = 0; i < count; i++)); do
    [ -e "$pieces/$(printf %05d "$i").json" ] || echo "$i"
done | paste -sd,)

options=(--parsable --chdir="$PWD" --output="$pieces/slurm-%A-%a.log" --cpus-per-task="${CPUS:-4}"
    --time="${TIME:-01:00:00}" ${PARTITION:+--partition="$PARTITION"} ${GRES:+--gres="$GRES"})
quoted() { printf '%q ' "$@"; }

after=()
if [ -n "$missing" ]; then
    # --requeue: a task whose node fails is queued again; a piece that is whole is left as it is.
    line="$(quoted "$stylize" piece "$pieces/plan.json")\$SLURM_ARRAY_TASK_ID --out $(quoted "$pieces")"
    line+="--threads \${SLURM_CPUS_PER_TASK:-0} --quiet"
    job=$(sbatch "${options[@]}" --requeue --job-name=stylize --array="$missing" --wrap="$line")
    after=(--dependency="afterok:${job%%;*}")
    echo "pieces: job $job, $(tr , '\n' <<<"$missing" | wc -l) of $count"
fi
line="$(quoted "$stylize" join "$pieces/plan.json" "$pieces" "$output")"
job=$(sbatch "${options[@]}" "${after[@]}" --kill-on-invalid-dep=yes --job-name=stylize-join --wrap="$line")
echo "join: job $job"
