#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints "[NUMBER] = "NAME"," for each system call of x86-64 in the kernel headers built against.
# Usage: syscalls.sh COMPILER [ARG...]
set -eu
echo '#include <asm/unistd_64.h>' | LC_ALL=C "$@" -E -dM -x c - |
    awk '$1 == "#define" && $2 ~ /^__NR_/ && $3 ~ /^[0-9]+$/ {
             printf "[%d] = \"%s\",\n", $3, substr($2, 6)
             n++
         }
         END { exit n < 300 }'
