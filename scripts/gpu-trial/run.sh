#!/bin/sh
# Unpacks what is packed and runs the trial: sh run.sh --out DIR (sh run.sh --help).
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# xz, else Python, which a machine with PyTorch has.
unpack() {
  [ -e "$1" ] && return
  if command -v xz >/dev/null 2>&1; then
    xz -dc "$1.xz" >"$1.part"
  else
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1.xz" >"$1.part"
  fi
  chmod 755 "$1.part"
  mv "$1.part" "$1"
}

unpack "$here/node"
for binary in "$here"/node_modules/webgpu/dist/*/dawn.node.xz; do
  unpack "${binary%.xz}"
done
exec "$here/node" "$here/scripts/gpu-trial/trial.mjs" "$@"
