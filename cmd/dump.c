/* SPDX-License-Identifier: MIT */
#include "cmd.h"

int dump_main(int argc, char **argv)
{
    struct options opt;
    if (!options_parse(&opt, argc, argv, OPTIONS_DUMP))
        return EXIT_USAGE;
    help_dump(stdout);
    return EXIT_DONE;
}
