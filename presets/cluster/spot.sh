#!/bin/bash
# A training on a machine that may be taken away: bash presets/cluster/spot.sh URL DATASET [OPTIONS OF seqrl train …]
# Pull what an earlier machine pushed, go on, and push each checkpoint. A signal saves and pushes first.
set -uo pipefail
url=$1
shift

# Azure announces the end of a spot machine 30 seconds before it, on this address, and sends no signal.
watch_for_eviction() {
  local events=http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01
  while sleep 5; do
    if curl -s -m 2 -H Metadata:true "$events" | grep -q '"Preempt"'; then
      kill -TERM "$1"
      return
    fi
  done
}

seqrl runs pull "$url" --force || echo "nothing to pull from $url yet"
seqrl train "$@" --push "$url" &
training=$!
watch_for_eviction "$training" &
watcher=$!
trap 'kill -TERM "$training"' TERM INT
wait "$training"
code=$?
while kill -0 "$training" 2>/dev/null; do # a signal interrupts wait
  wait "$training"
  code=$?
done
kill "$watcher" 2>/dev/null
exit "$code"
