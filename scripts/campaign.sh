#!/usr/bin/env bash
# Goes on with a gallery's training from its committed checkpoint, in the background at low priority:
#   scripts/campaign.sh PLAN PHOTOS PAINTINGS VGG [MIXED_VGG] [MINUTES]
# PLAN is the name of a file in training/campaign/ without .toml; paintings that are drawn are drawn first.
# MIXED_VGG is for plans with a second loss, such as full. An empty argument is one that is not given.
set -euo pipefail
if [ $# -lt 4 ] || [ $# -gt 6 ] || [ -z "$2" ] || [ -z "$3" ] || [ -z "$4" ]; then
    echo "campaign: say make campaign PLAN=full|lite|quick PHOTOS=folder PAINTINGS=folder VGG=file.safetensors [MIXED_VGG=file.safetensors] [MINUTES=n]" >&2
    exit 2
fi
plan=$1 photos=$(realpath "$2") paintings=$(realpath "$3") vgg=$(realpath "$4") mixed=${5:+$(realpath "$5")} minutes=${6:-}
cd "$(dirname "$0")/../training"
[ -f "campaign/$plan.toml" ] || { echo "campaign: there is no campaign/$plan.toml" >&2; exit 2; }
./setup.sh
mkdir -p runs/drawn
.venv/bin/python -m styles --out runs/drawn >runs/drawn.log
# Where sched_autogroup_enabled is 1, sessions share the processor equally and nice counts within one only (sched(7)),
# so the training is a session of its own, with a low priority as a whole.
low='{ echo 10 >/proc/self/autogroup; } 2>/dev/null || true; exec nohup nice -n 10 "$@"'
setsid bash -c "$low" campaign .venv/bin/stylize-train campaign "campaign/$plan.toml" --content "$photos" \
    --paintings runs/drawn "$paintings" --vgg "$vgg" ${mixed:+--mixed-vgg "$mixed"} \
    --exclude 'kodak-*' --sheet "runs/$plan.jpg" ${minutes:+--minutes "$minutes"} >>"runs/$plan.log" 2>&1 </dev/null &
echo "campaign: $plan goes on as process $!; stop it with kill $!"
echo "  log training/runs/$plan.log, pictures training/runs/$plan.jpg, curve training/campaign/$plan.jsonl"
