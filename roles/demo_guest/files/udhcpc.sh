#!/bin/sh
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What udhcpc in the demo guest calls when it has a lease, or has none any more.
case $1 in
    deconfig)
        ip address flush dev "$interface"
        ;;
    bound | renew)
        ip address replace "$ip/$mask" dev "$interface"
        [ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
        [ "$1" = renew ] || echo "guest: address $ip/$mask" >/dev/ttyS0
        ;;
esac
