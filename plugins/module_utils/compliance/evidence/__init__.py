# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured of hypervisors, VMs and clusters: facts by area, each with how it was got; nothing is ever changed."""
