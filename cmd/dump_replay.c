/* SPDX-License-Identifier: MIT */
#include "cmd/dump.h"

int dump_replay(const struct options *opt)
{
    (void)opt;
    return EXIT_FAILED;
}
