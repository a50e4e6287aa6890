/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "cmd/cmd.h"

struct sides {
    const struct options *opt;
    struct profile *before, *after; /* owned */
};

static int write_sides(void *data, FILE *out)
{
    const struct sides *s = data;
    bool folded = !strcmp(output_format(s->opt), "folded");
    struct profile before, after;
    report_view_init(&before, s->before, &s->opt->report);
    report_view_init(&after, s->after, &s->opt->report);
    int rc = (folded ? report_diff_folded : report_diff)(&before, &after, &s->opt->report, out);
    int saved = errno;
    report_view_release(&before);
    report_view_release(&after);
    errno = saved;
    return rc;
}

static int diff(const struct options *opt)
{
    struct sides s = {.opt = opt};
    struct error err;
    int code = read_profiles(opt->files, 1, &s.before);
    if (code == EXIT_DONE)
        code = read_profiles(opt->files + 1, 1, &s.after);
    if (code == EXIT_DONE && output_write(opt, write_sides, &s, stdout, &err) < 0) {
        say("%s", err.text);
        code = EXIT_FAILED;
    }
    profile_free(s.before);
    profile_free(s.after);
    return code;
}

static int diff_with(struct options *opt, int argc, char **argv)
{
    struct error err;
    int code;
    if (!options_parse(opt, argc, argv, OPTIONS_PRINT | OPTIONS_FILES))
        return EXIT_USAGE;
    if (help_asked(opt, help_diff, &code))
        return code;
    const char *format = output_format(opt);
    if (opt->n_files != 2)
        say("want two saved profiles: oxprof diff BEFORE AFTER");
    else if (strcmp(format, "text") != 0 && strcmp(format, "folded") != 0)
        say("-f %s does not show differences: want text or folded", format);
    else if (output_check(opt, &err) == 0)
        return diff(opt);
    else {
        say("%s", err.text);
        return EXIT_FAILED;
    }
    return EXIT_USAGE;
}

int diff_main(int argc, char **argv)
{
    struct options opt;
    int code = diff_with(&opt, argc, argv);
    options_release(&opt);
    return code;
}
