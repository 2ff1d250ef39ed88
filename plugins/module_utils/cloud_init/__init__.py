# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest is told at its first boot: validated, and rendered for cloud-init's data source NoCloud; pure."""
