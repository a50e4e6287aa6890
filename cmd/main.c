/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/escape.h"
#include "cmd/cmd.h"

static const struct command {
    const char *name;
    int (*main)(int argc, char **argv);
} commands[] = {
    {"diff", diff_main},   {"doctor", doctor_main}, {"dump", dump_main},
    {"help", help_main},   {"record", record_main}, {"report", report_main},
#if OX_SERVE
    {"serve", serve_main},
#endif
#if OX_TOP
    {"top", top_main},
#endif
};

void say(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(stderr, "oxprof: %s\n", text);
}

void limits_prepare(void)
{
    struct rlimit files, core = {0};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    setrlimit(RLIMIT_CORE, &core);
    /* Where core_pattern is a pipe the limit does not count (core(5)). Our memory holds copies of
     * the target's stacks: other processes of its user may not read them here either. */
    prctl(PR_SET_DUMPABLE, 0);
}

/* Closed, their numbers would go to files of ours, which the guardian would take for them. Opened
 * for reading only: what is written to them is still an error. */
static void hold_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    hold_standard_files();
    if (argc < 2) {
        help_print(stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].main(argc - 1, argv + 1);
    if (argv[1][0] != '-') {
        char name[300];
        escape_text(name, sizeof(name), argv[1], NULL);
        say("unknown command '%s' (to run a program: oxprof -- %s)", name, name);
        return EXIT_USAGE;
    }
    return sample_main(argc, argv);
}
