#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints files as C strings. Usage: embed.sh NAME=FILE...
set -eu
echo '/* SPDX-License-Identifier: MIT */'
for arg; do
    printf 'static const char page_%s[] = {\n' "${arg%%=*}"
    # char is signed on x86-64, and so are od's numbers here
    LC_ALL=C od -An -v -td1 "${arg#*=}" | LC_ALL=C sed 's/\([0-9]\)\( \|$\)/\1,\2/g'
    printf '0};\n'
done
