#!/bin/sh
# Install the Debian packages that SegNAS3D is built with and, where they are asked for, those of its CUDA backend,
# tests, demo or benchmark. Does nothing where none is missing.
# usage: setup.sh [cuda | test | slurm | demo | bench]
set -eu

packages="gcc libc6-dev cmake ninja-build pkg-config libgomp1
  libnlopt-dev libnifti2-dev zlib1g-dev libsqlite3-dev libjansson-dev libxxhash-dev libpng-dev"
case ${1:-} in
cuda) packages="$packages g++ python3-pip" ;;
test) packages="$packages g++ libcmocka-dev libdnnl-dev mricron-data libopenmpi-dev openmpi-bin" ;;
slurm) packages="$packages libopenmpi-dev openmpi-bin slurm-wlm munge procps" ;;
demo) packages="$packages mricron-data" ;;
bench) packages="$packages libdnnl-dev python3-venv" ;;
"") ;;
*)
    echo "usage: setup.sh [cuda | test | slurm | demo | bench]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is no Debian system; install what corresponds to:" $packages
    exit 0
fi

missing=""
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    # pkg-config is a name that pkgconf provides on newer systems.
    if [ "$package" = pkg-config ] && command -v pkg-config >/dev/null; then
        state=installed
    fi
    if [ "$state" != installed ]; then
        missing="$missing $package"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: packages are missing; as root run: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root="sudo"
fi
echo "setup: installing$missing"
$as_root apt-get update -q
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
