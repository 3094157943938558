#!/bin/sh
# A job without any Python: write numbers, sort them and compress them. $1 is how many.
set -eu
count=${1:-300000}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

seq "$count" | awk '{ print ($1 * 7919) % 1000003 }' > "$folder/numbers"
sort -n "$folder/numbers" > "$folder/sorted"
gzip -9 -k "$folder/sorted"
echo "$count numbers: $(wc -c < "$folder/sorted") bytes sorted, $(wc -c < "$folder/sorted.gz") compressed"
