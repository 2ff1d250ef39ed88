# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the compliance playbook once: called as ``python -m compliance_run CONFIG`` by the timer, or by a person."""
