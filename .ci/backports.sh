#!/usr/bin/env bash
# Adds Debian's backports suite to apt, from the mirror and with the key that the machine's own sources name.
set -euo pipefail
suite=bookworm-backports
folder=/etc/apt/sources.list.d
grep -rqsE "(^|[[:space:]])$suite([[:space:]]|$)" /etc/apt/sources.list $folder --include='*.sources' --include='*.list' && exit 0
for file in "$folder"/*.sources; do
  [ -e "$file" ] || continue
  # A paragraph that offers the release itself, with its line of suites replaced.
  awk -v suite=$suite 'BEGIN { RS = ""; ORS = "\n\n" }
    /(^|\n)Suites:([^\n]* )?bookworm( [^\n]*)?(\n|$)/ { sub(/Suites:[^\n]*/, "Suites: " suite); print; exit }' "$file" >"$folder/backports.sources"
  [ -s "$folder/backports.sources" ] && exit 0
  rm "$folder/backports.sources"
done
# The older form, one line a source.
line=$(cat /etc/apt/sources.list "$folder"/*.list 2>/dev/null | grep -m1 -E '^deb .* bookworm ') || {
  echo "No source of Debian 12's packages was found, from which that of $suite could be told." >&2
  exit 1
}
echo "${line/ bookworm / $suite }" >"$folder/backports.list"
