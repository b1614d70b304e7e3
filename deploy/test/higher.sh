#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# For sourcing: packages as a later version would be.

# higher_make VERSION DIRECTORY PACKAGE...: the same by that number, and with another conffile.
higher_make() {
    local to=$1 directory=$2 package from
    shift 2
    mkdir -p "$directory"
    for package; do
        local tree=$directory/unpacked
        dpkg-deb -R "$package" "$tree"
        from=$(sed -n 's/^Version: //p' "$tree/DEBIAN/control")
        sed -i "s/^Version: .*/Version: $to/; s/(= $from)/(= $to)/g" "$tree/DEBIAN/control"
        [ ! -f "$tree/etc/cenote/cenoted.conf" ] ||
            sed -i '1a# As of a later version.' "$tree/etc/cenote/cenoted.conf"
        dpkg-deb -b --root-owner-group "$tree" "$directory" >/dev/null
        rm -rf "$tree"
    done
}
