#!/usr/bin/env bash
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# fetch_k3s.sh VERSION FILE: a release's binary for this machine, taken only when it has the checksum that the release tells.
set -euo pipefail

version=$1
file=$2
case $(uname -m) in
    x86_64) name=k3s architecture=amd64 ;;
    aarch64) name=k3s-arm64 architecture=arm64 ;;
    *) echo "k3s is not fetched for $(uname -m)" >&2; exit 1 ;;
esac
release="https://github.com/k3s-io/k3s/releases/download/${version//+/%2B}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for each in "$name" "sha256sum-$architecture.txt"; do
    curl --fail --silent --show-error --location --retry 5 --proto '=https' --output "$folder/$each" "$release/$each"
done
# Only the line of the binary: the archives of images are not here.
(cd "$folder" && grep -E " \*?$name\$" "sha256sum-$architecture.txt" | sha256sum --check --strict -)
install -m 0755 "$folder/$name" "$file"
