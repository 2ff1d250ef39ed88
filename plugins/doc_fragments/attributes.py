# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of the collection can do in check and diff mode."""

from __future__ import annotations


class ModuleDocFragment:
    # For modules that change something.
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return the changed status that a real run would have, without changing anything.
    support: full
  diff_mode:
    description: Shows what changed, or in check mode what would change.
    support: full
"""

    # For modules that only read.
    READ = r"""
attributes:
  check_mode:
    description: Reads only, so that check mode makes no difference.
    support: full
  diff_mode:
    description: Changes nothing, so that there is no difference to show.
    support: none
"""
