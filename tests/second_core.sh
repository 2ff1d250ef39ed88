#!/usr/bin/env bash
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# The unit and inventory tests on a second ansible-core (2.21), where this machine has a Python for it; the lab must be up.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/venv-second
python=""
for candidate in python3.13 python3.12 "${PYENV_ROOT:-/root/.pyenv}"/versions/3.1[23].*/bin/python3; do
    # A version manager's shim is found by name and may still refuse to run.
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "==> second ansible-core: not run, for it needs Python 3.12 or 3.13, which this machine does not have"
    exit 0
fi
if ! [ -e $venv/.ready ]; then
    echo "==> second ansible-core: making $venv with $("$python" --version)"
    "$python" -m venv $venv
    $venv/bin/pip install --quiet 'ansible-core>=2.21,<2.22' 'libvirt-python>=9.0' jmespath 'pytest>=8' 'hypothesis>=6.100' 'jsonschema>=4.18' 'pycdlib>=1.12' 'kubernetes>=31' 'ansible-builder>=3.1' 'cryptography>=41' 'compliance-trestle>=5.2' 'xmlschema>=4'
    touch $venv/.ready
fi
$venv/bin/ansible --version | sed -n 1p
# The collections that tests call come from the first environment; ansible-core alone has none.
ANSIBLE_COLLECTIONS_PATH=$(pwd)/build/collections:$(echo "$(pwd)"/build/venv/lib/python3.*/site-packages) \
    PATH=$(pwd)/$venv/bin:$PATH $venv/bin/pytest -q -p no:cacheprovider tests/unit tests/integration/test_inventory.py
