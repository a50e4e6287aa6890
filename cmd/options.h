/* SPDX-License-Identifier: MIT */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "cmd/cmd.h"

/* One option: where it is taken, and what reads its value; false after a message. */
struct option_rule {
    const char *name;
    char letter; /* 0: none */
    bool takes_value;
    unsigned sets; /* enum option_set; 0: all */
    bool (*read)(struct options *opt, const char *value);
};

enum { OPTION_RULES = 43 };
extern const struct option_rule option_rules[OPTION_RULES];

#endif
