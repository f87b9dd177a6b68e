#!/usr/bin/env bash
# Records each chapter's transcript as the book shows it. What differs from run to run (ports, times) is normalised, so
# that `git diff` after a run shows only what a change of the code changed.
set -euo pipefail
cd "$(dirname "$0")/.."

normalise() {
  sed -E -e 's/127\.0\.0\.1:[0-9]+/127.0.0.1:PORT/g' -e 's/[0-9]+ ms/N ms/g' -e '/./,$!d'
}

record() { # package
  local output
  output=$(cargo run --quiet --package "$1")
  printf '%s\n' "$output" | normalise > "book/src/transcripts/${1#ch}.txt"
}

record ch01-simplest-server
