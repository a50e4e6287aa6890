/* SPDX-License-Identifier: MIT */
/*
 * A command line. The input: which options are known (1 byte), then the words, a newline between
 * them. say() is ours: nothing is printed, and what would be is looked at.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "fuzz.h"

enum { WORDS_MAX = 64 };

static unsigned said;

/* One line, and nothing in it that steers a terminal. */
void say(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (const char *s = text; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            abort();
    said++;
}

static void check(const struct options *opt)
{
    const struct session_options *s = &opt->session;
    if (s->interval_ns < 100 * 1000 || s->interval_ns > 10 * OX_NS_PER_S)
        abort();
    if (opt->n_pids > IDS_MAX || opt->n_tids > IDS_MAX)
        abort();
    for (size_t i = 0; i < opt->n_pids; i++)
        if (opt->pids[i] <= 0)
            abort();
    if (!(opt->report.min_percent >= 0 && opt->report.min_percent <= 100))
        abort();
    if (opt->n_files && !opt->files[opt->n_files - 1])
        abort();
    if ((opt->format && !report_find(opt->format)) || (opt->command && !opt->command[0]))
        abort();
}

/* getopt remembers the word that it left in the middle, which is freed by now. */
static void reset_getopt(void)
{
    char name[] = "fuzz", *argv[] = {name, NULL};
    optind = 0;
    if (getopt(1, argv, "") != -1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct options opt;
    char name[] = "oxprof", *argv[WORDS_MAX + 2] = {name};
    int argc = 1;
    if (!bytes)
        return 0;
    char *text = fuzz_text(data + 1, bytes - 1), *rest = text;
    for (char *word; argc <= WORDS_MAX && (word = strsep(&rest, "\n"));)
        argv[argc++] = word;
    reset_getopt();
    said = 0;
    bool good = options_parse(&opt, argc, argv, data[0] % 16);
    if (said != !good)
        abort();
    if (good)
        check(&opt);
    free(text);
    return 0;
}
