/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

static const char usage[] =
    "usage: oxprof [OPTIONS] -p PID[,PID...]     sample running processes, print the report\n"
    "       oxprof [OPTIONS] -- CMD [ARG...]     run CMD, sample it, print the report at its end\n"
    "       oxprof record ...                    the same, into a saved profile: oxprof.pb.gz\n"
    "       oxprof report FILE...                saved profiles in any format\n"
    "       oxprof diff BEFORE AFTER             what has changed between two of them\n"
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
    "      --calls RE        how long calls last     --max-overhead PCT   of a CPU\n"
    "  -d, --duration TIME   as 5s, 500ms, 2m        --samples N      enough is enough\n"
    "      --start-paused    until SIGUSR2           --capture auto|stop|nostop|perf\n"
    "      --python --native only such frames; --mixed: both     --gil  only who holds Python's "
    "lock\n"
    "\n"
    "What to print:\n"
    "  -o, --output FILE     default: stdout     -f, --format FORMAT  text, tsv, json, folded,\n"
    "                        flamegraph, pprof, speedscope, firefox, callgrind, perf;\n"
    "                        or by FILE's suffix\n"
    "      --sort self|total|name                -N, --top N          functions per block\n"
    "      --min-percent P   of the block            --threads        each thread apart\n"
    "      --demangle full|simple|none               --full-paths     of files\n"
    "      --focus RE        stacks that match       --ignore RE      stacks that don't\n"
    "      --lines           functions by line       --addresses      and by address\n"
    "      --no-inlines      callers count instead   --debuginfod     fetch debug files\n"
    "      --ci              95% intervals of shares --waits          what for, by reason and "
    "thing\n"
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
    "                   [--addresses] [--no-inlines] [--full-paths] [--python|--native]\n"
    "       oxprof dump -p PID --save FILE       keep the snapshots, for a bug report\n"
    "       oxprof dump --replay FILE            show the stacks of such a file\n"
    "\n"
    "Prints every thread once: its name, what it does, and its stack, innermost function first.\n";

static const char record_usage[] = "usage: oxprof record [OPTIONS] -p PID[,PID...]\n"
                                   "       oxprof record [OPTIONS] -- CMD [ARG...]\n"
                                   "\n"
                                   "Samples as oxprof does (see oxprof --help), and saves the "
                                   "profile: -o FILE, oxprof.pb.gz if not\n"
                                   "given. oxprof report reads it, and so do pprof and its kin.\n";

static const char report_usage[] =
    "usage: oxprof report [OPTIONS] FILE...\n"
    "\n"
    "Reads saved profiles, adds them up, and prints them in any format; - is standard input.\n"
    "\n"
    "  -o, --output FILE     default: stdout     -f, --format FORMAT  text, tsv, json, folded,\n"
    "                        flamegraph, pprof, speedscope, callgrind, perf;\n"
    "                        or by FILE's suffix\n"
    "      --sort self|total|name                -N, --top N          functions per block\n"
    "      --min-percent P   of the block            --threads        each thread apart\n"
    "      --demangle full|simple|none               --full-paths     of files\n"
    "      --focus RE        stacks that match       --ignore RE      stacks that don't\n"
    "      --lines           functions by line       --addresses      and by address\n"
    "      --no-inlines      callers count instead   --ci             95% intervals of shares\n"
    "      --color auto|always|never                 --waits          what for, by reason and "
    "thing\n";

static const char diff_usage[] =
    "usage: oxprof diff [OPTIONS] BEFORE AFTER\n"
    "\n"
    "Which functions gained and lost, in percent of all samples, as far as that is no chance.\n"
    "\n"
    "  -o, --output FILE     default: stdout     -f, --format text|folded|flamegraph\n"
    "      --sort self|total|name                -N, --top N          functions per block\n"
    "      --min-percent P   of difference           --full-paths     of files\n"
    "      --focus RE        stacks that match       --ignore RE      stacks that don't\n"
    "      --lines           functions by line       --addresses      and by address\n"
    "      --no-inlines      callers count instead\n";

void help_diff(FILE *out)
{
    fputs(diff_usage, out);
}

void help_record(FILE *out)
{
    fputs(record_usage, out);
}

void help_report(FILE *out)
{
    fputs(report_usage, out);
}

void help_print(FILE *out)
{
    fputs(usage, out);
}

void help_dump(FILE *out)
{
    fputs(dump_usage, out);
}

/* Of what this build could have; perf_event is none of any build yet. */
void version_print(void)
{
    static const struct {
        const char *name;
        bool there;
    } features[] = {{"perf", true},
                    {"python", true},
                    {"serve", OX_SERVE},
                    {"top", OX_TOP},
                    {"debuginfod", OX_DEBUGINFOD},
                    {"lzma", OX_LZMA},
                    {"zstd", OX_ZSTD}};
    printf("oxprof %s\n", OX_VERSION);
    for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
        printf("%s%c%s", i ? " " : "", features[i].there ? '+' : '-', features[i].name);
    putchar('\n');
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
    } topics[] = {{"", "oxprof", help_print},
                  {"diff", "oxprof-diff", help_diff},
                  {"doctor", "oxprof-doctor", help_doctor},
                  {"dump", "oxprof-dump", help_dump},
                  {"record", "oxprof-record", help_record},
                  {"report", "oxprof-report", help_report},
                  {"serve", "oxprof-serve", help_serve},
                  {"top", "oxprof-top", help_top}};
    const char *topic = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
        if (strcmp(topic, topics[i].topic))
            continue;
        if (have_page(topics[i].page))
            execlp("man", "man", topics[i].page, (char *)NULL);
        topics[i].help(stdout);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    say("no help for that: the commands are record, report, diff, top, serve, doctor, dump and "
        "help");
    return EXIT_USAGE;
}
