/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "symbols/symbols.h"

/* Saved names read as they were asked for when they were saved. Asked for otherwise, they are made
 * anew from what the linker knows. */
static void demangle_again(struct profile *p, enum demangle how)
{
    struct symbols_options names = {.demangle = how};
    struct symbols *symbols = symbols_new(&names);
    for (size_t i = 0; i < p->n_lines; i++) {
        const char *linkage_name = intern_get(p->strings, p->lines[i].linkage_name);
        if (*linkage_name)
            p->lines[i].function = intern_put(p->strings, symbols_demangle(symbols, linkage_name));
    }
    symbols_free(symbols);
}

static int report(const struct options *opt)
{
    struct profile *p;
    struct error err;
    int code = read_profiles(opt->files, opt->n_files, &p);
    if (code != EXIT_DONE)
        return code;
    if (opt->demangle_given)
        demangle_again(p, opt->session.demangle);
    if (!profile_samples(p, PROFILE_CPU) && !profile_samples(p, PROFILE_WAIT)) {
        say("no samples: there are none in what was read");
        code = EXIT_NO_SAMPLES;
    } else if (output_report(opt, p, stdout, &err) < 0) {
        say("%s", err.text);
        code = EXIT_FAILED;
    }
    profile_free(p);
    return code;
}

static int report_with(struct options *opt, int argc, char **argv)
{
    struct error err;
    int code;
    if (!options_parse(opt, argc, argv, OPTIONS_PRINT | OPTIONS_FILES))
        return EXIT_USAGE;
    if (help_asked(opt, help_report, &code))
        return code;
    if (!opt->n_files) {
        say("want saved profiles: oxprof report FILE... (oxprof record writes them)");
        return EXIT_USAGE;
    }
    if (report_time_of(output_format(opt)) == TIME_NEEDED) {
        say("-f %s needs the order in time, which a saved profile does not hold: give it while "
            "sampling (oxprof -f %s -o FILE -p PID)",
            output_format(opt), output_format(opt));
        return EXIT_USAGE;
    }
    if (!options_fit_format(opt, output_format(opt)))
        return EXIT_USAGE;
    if (output_check(opt, &err) < 0) {
        say("%s", err.text);
        return EXIT_FAILED;
    }
    prepare_terminal(opt);
    return report(opt);
}

int report_main(int argc, char **argv)
{
    struct options opt;
    int code = report_with(&opt, argc, argv);
    options_release(&opt);
    return code;
}
