/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "cmd/cmd.h"

struct sides {
    const struct options *opt;
    struct profile *before, *after; /* owned */
};

static int write_sides(void *data, FILE *out)
{
    const struct sides *s = data;
    struct profile before, after;
    report_view_init(&before, s->before, &s->opt->report);
    report_view_init(&after, s->after, &s->opt->report);
    int rc = report_find_diff(output_format(s->opt))(&before, &after, &s->opt->report, out);
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
    char formats[200];
    if (!options_parse(opt, argc, argv, OPTIONS_DIFF | OPTIONS_FILES))
        return EXIT_USAGE;
    if (help_asked(opt, help_diff, &code))
        return code;
    const char *format = output_format(opt);
    options_formats(true, formats, sizeof(formats));
    if (opt->n_files != 2)
        say("want two saved profiles: oxprof diff BEFORE AFTER");
    else if (!report_find_diff(format))
        say("-f %s does not show differences: want %s", format, formats);
    else if (!options_fit_format(opt, format))
        ;
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
