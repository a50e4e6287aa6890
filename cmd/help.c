/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

static const char usage[] =
    "usage: oxprof [OPTIONS] -p PID[,PID...]     sample running processes, print the report\n"
    "       oxprof [OPTIONS] -- CMD [ARG...]     run CMD, sample it, print the report at its end\n"
    "       oxprof top -p PID                    the same in a live terminal view\n"
    "       oxprof serve ...                     the same on a live web page\n"
    "       oxprof doctor -p PID                 what works on it, and what would help\n"
    "       oxprof dump -p PID                   every thread's stack once\n"
    "       oxprof help [COMMAND]                the manual page\n"
    "\n"
    "What to sample:\n"
    "  -p, --pid PID[,PID]   processes           -t, --tid TID[,TID]  only these threads\n"
    "      --children        and what they fork      --mode wall|cpu  all threads, or running "
    "ones\n"
    "  -r, --rate HZ         default 100         -i, --interval TIME  0.1ms to 10s, instead of -r\n"
    "      --calls RE        how long calls of these functions last\n"
    "  -d, --duration TIME   as 5s, 500ms, 2m        --samples N      enough is enough\n"
    "      --start-paused    until SIGUSR2           --capture auto|stop|nostop\n"
    "\n"
    "What to print:\n"
    "  -o, --output FILE     default: stdout     -f, --format text|tsv|folded\n"
    "      --sort self|total|name                -N, --top N          functions per block\n"
    "      --min-percent P   of the block            --threads        each thread apart\n"
    "      --demangle full|simple|none               --full-paths     of files\n"
    "      --focus RE        stacks that match       --ignore RE      stacks that don't\n"
    "      --lines           functions by line       --addresses      and by address\n"
    "      --no-inlines      callers count instead\n"
    "      --color auto|always|never             -q, --quiet  -v, --verbose\n"
    "  -h, --help            this text           -V, --version\n"
    "\n"
    "Signals: INT ends and reports; USR1 reports so far; USR2 pauses and resumes.\n"
    "\n"
    "Examples:\n"
    "  oxprof -d 5 -p 4711                       five seconds of a running service\n"
    "  oxprof -p $(pgrep -d, nginx) -N 20        all its processes, until Ctrl-C\n"
    "  oxprof -o job.folded -- ./job --fast      a command from start to end, for flame graphs\n";

static const char serve_usage[] =
    "usage: oxprof serve [OPTIONS] -p PID[,PID...]\n"
    "       oxprof serve [OPTIONS] -- CMD [ARG...]\n"
    "\n"
    "Samples, and shows it as it goes on a web page, whose address is said on stderr.\n"
    "\n"
    "      --listen ADDRESS:PORT  or unix:PATH; default 127.0.0.1:0, a free port\n"
    "      --users FILE           who may look or control, with a name and a password\n"
    "      --allow-remote         addresses that others can reach; wants --users\n"
    "      --host NAME            under which browsers ask for this machine\n"
    "\n"
    "The other options are those of oxprof; -o FILE writes a report at the end.\n";

void help_serve(FILE *out)
{
    fputs(serve_usage, out);
}

static const char top_usage[] =
    "usage: oxprof top [OPTIONS] -p PID[,PID...]\n"
    "\n"
    "Samples, and shows it as it goes in the terminal; h shows the keys.\n"
    "\n"
    "The options are those of oxprof; -o FILE writes a report at the end.\n";

void help_top(FILE *out)
{
    fputs(top_usage, out);
}

static const char doctor_usage[] =
    "usage: oxprof doctor [--capture auto|stop|nostop] -p PID\n"
    "\n"
    "Samples it for a second, and says what works: stops, sleepers, perf_event, memory, names, "
    "Python;\n"
    "and where something does not, why, and the smallest cure.\n";

void help_doctor(FILE *out)
{
    fputs(doctor_usage, out);
}

static const char dump_usage[] =
    "usage: oxprof dump -p PID [-t TID] [--capture auto|nostop] [--demangle full|simple|none]\n"
    "                   [--addresses] [--no-inlines] [--full-paths]\n"
    "       oxprof dump -p PID --save FILE       keep the snapshots, for a bug report\n"
    "       oxprof dump --replay FILE            show the stacks of such a file\n"
    "\n"
    "Prints every thread once: its name, what it does, and its stack, innermost function first.\n";

void help_print(FILE *out)
{
    fputs(usage, out);
}

void help_dump(FILE *out)
{
    fputs(dump_usage, out);
}

void version_print(void)
{
    printf("oxprof %s\n-perf -python -debuginfod\n", OX_VERSION);
}

bool help_asked(const struct options *opt, void (*help)(FILE *out), int *ret_code)
{
    if (!opt->help && !opt->version)
        return false;
    if (opt->help)
        help(stdout);
    else
        version_print();
    *ret_code = fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    return true;
}

/* man(1) may be missing, or the page not installed. */
static bool have_page(const char *page)
{
    char line[80], path[4096];
    snprintf(line, sizeof(line), "man -w %s 2>/dev/null", page);
    FILE *answer = popen(line, "re");
    bool found = answer && fgets(path, sizeof(path), answer);
    return answer && pclose(answer) == 0 && found;
}

int help_main(int argc, char **argv)
{
    static const struct {
        const char *topic, *page;
        void (*help)(FILE *out);
    } pages[] = {{"", "oxprof", help_print},
                 {"doctor", "oxprof-doctor", help_doctor},
                 {"dump", "oxprof-dump", help_dump},
                 {"serve", "oxprof-serve", help_serve},
                 {"top", "oxprof-top", help_top}};
    const char *topic = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
        if (strcmp(topic, pages[i].topic))
            continue;
        if (have_page(pages[i].page))
            execlp("man", "man", pages[i].page, (char *)NULL);
        pages[i].help(stdout);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    say("no help for that: the commands are doctor, dump, serve, top and help");
    return EXIT_USAGE;
}
