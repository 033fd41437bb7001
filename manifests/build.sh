#!/bin/sh
# Makes the manifest's blob that the host tests of causeway-memshare read. Needs dtc.
set -eu
cd "$(dirname "$0")"
mkdir -p ../memshare/tests/data
dtc -q -I dts -O dtb -o ../memshare/tests/data/qemu-el3.dtb qemu-el3.dts
