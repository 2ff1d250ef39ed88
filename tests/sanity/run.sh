#!/usr/bin/env bash
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test sanity on an installed copy of the collection: run.sh FOLDER, where FOLDER is …/virt8ra/federation.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../../build" && pwd)
cd "$1"

# Its own repository: without one, ansible-test asks that of the checkout around it, which ignores this folder.
git init --quiet .
echo /tests/output/ > .git/info/exclude
git add --all .

# ansible-test would fetch its pip from the network; the package index has the same one.
export HOME=$build/sanity/home
mkdir -p "$HOME/.ansible/test/cache" "$build/sanity/bin"
cp "$here/get_pip.py" "$HOME/.ansible/test/cache/get_pip_24_2.py"

# Only interpreters that run: a version manager's shims are found by name and then refuse.
search=$(printf '%s' "$PATH" | tr : '\n' | grep -v '/shims$' | paste -sd:)
for minor in 8 9 10 11 12 13 14; do
    PATH=$search command -v "python3.$minor" > /dev/null && continue
    for candidate in "${PYENV_ROOT:-/root/.pyenv}"/versions/3."$minor".*/bin/python3."$minor"; do
        if [ -x "$candidate" ]; then ln -sfn "$candidate" "$build/sanity/bin/python3.$minor"; fi
    done
done
PATH=$search:$build/sanity/bin exec ansible-test sanity --venv --color no
