/* SPDX-License-Identifier: MIT */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"
#include "report/report.h"
#include "session/session.h"

/* What all subcommands share: exit codes, options, messages, output. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_PROCESS = 3,
    EXIT_NOT_PERMITTED = 4,
    EXIT_NO_SAMPLES = 5,
    EXIT_LAUNCH_FAILED = 125,
    EXIT_CANNOT_EXECUTE = 126,
    EXIT_NOT_FOUND = 127,
};

enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum { IDS_MAX = 256 };

struct options {
    pid_t pids[IDS_MAX], tids[IDS_MAX];
    size_t n_pids, n_tids;
    char **command; /* of argv; NULL where a process is attached to */
    struct session_options session;
    struct report_options report;
    regex_t focus, ignore, calls_re; /* compiled where report points to them */
    enum color_when color;
    bool quiet, verbose;
    char **files; /* of argv: to be read */
    size_t n_files;
    const char *output; /* NULL: stdout, where output_given; else the subcommand decides */
    bool output_given;
    const char *format; /* NULL: by the suffix of output, else default_format */
    const char *default_format;
    const char *row_option; /* one that sorts or limits rows; NULL: none was given */
    bool demangle_given;
    const char *save, *replay;
    const char *listen, *users, *host; /* of serve; NULL: not given */
    bool allow_remote;
    const regex_t *calls; /* calls_re, or NULL */
    bool help, version;
};

/* Which options a subcommand takes. */
enum option_set {
    OPTIONS_SAMPLE = 1,
    OPTIONS_PRINT = 2,
    OPTIONS_DUMP = 4,
    OPTIONS_FILES = 8,
    OPTIONS_SERVE = 16,
    OPTIONS_DIFF = 32,
    OPTIONS_ROWS = 64 /* sorts or limits rows: nothing for formats without */
};

/* Fills opt, to be released in any case; false after a message about what is wrong with the command
 * line. argv[0] is the name of the program or of the subcommand. */
bool options_parse(struct options *opt, int argc, char **argv, unsigned sets);

void options_release(struct options *opt);

/* False after a message where an option that sorts or limits rows is given for a format without. */
bool options_fit_format(const struct options *opt, const char *format);

/* "text, tsv or json": the formats, or with diff those that show differences. */
void options_formats(bool diff, char *text, size_t bytes);

int sample_main(int argc, char **argv);
int record_main(int argc, char **argv);
int report_main(int argc, char **argv);
int diff_main(int argc, char **argv);
int serve_main(int argc, char **argv);
int top_main(int argc, char **argv);

/* What shows a run as it goes: a page, a terminal. Called on the sampler's thread. */
struct face {
    void *arg;
    /* Before the session, while we have one thread and an ordinary priority; an exit code, after a
     * message. */
    int (*begin)(void *arg);
    void (*attach)(void *arg, struct session *s);
    /* At each turn with no stop under way, and after a while without one. True: whoever looks wants
     * to end. */
    bool (*turn)(void *arg);
    void (*end)(void *arg);
    bool owns_terminal; /* messages wait until its end */
};

/* Samples what opt says until the user ends it, also where the targets have ended before. A report
 * is written with -o only. */
int sample_for(const struct options *opt, const struct face *face);
int dump_main(int argc, char **argv);
int doctor_main(int argc, char **argv);

void help_print(FILE *out);
void help_dump(FILE *out);
void help_record(FILE *out);
void help_report(FILE *out);
void help_diff(FILE *out);
void help_serve(FILE *out);
void help_doctor(FILE *out);
void help_top(FILE *out);
/* --help and --version: true with the exit code where one was asked for. */
bool help_asked(const struct options *opt, void (*help)(FILE *out), int *ret_code);
int help_main(int argc, char **argv);
void version_print(void);

/* "oxprof: ..." on stderr, as one line. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Opens every target of opt; an exit code, after a message. */
int add_targets(struct session *s, const struct options *opt);
int exit_of_error(int rc);

/* The name of the format that the options ask for. */
const char *output_format(const struct options *opt);

/*
 * A report's way out. Regular files are written beside their place and renamed over it, so that no
 * half-written one is ever seen; FIFOs and devices are written straight. 0 or a negative errno.
 */
int output_report(const struct options *opt, const struct profile *p, FILE *fallback,
                  struct error *err);
/* The same for whatever `write` writes: it returns 0, or sets errno. */
int output_write(const struct options *opt, int (*write)(void *data, FILE *out), void *data,
                 FILE *fallback, struct error *err);
/* Says now, not after minutes of sampling, that the report can't be written. */
int output_check(const struct options *opt, struct error *err);

/* What sampling does with its samples where the options say nothing else. */
struct sample_defaults {
    const char *format, *output; /* output NULL: stdout */
    void (*help)(FILE *out);
};
int sample_as(int argc, char **argv, const struct sample_defaults *defaults);

/* Terminal or not: width, height and colour of what is printed. */
void prepare_terminal(struct options *opt);

/* Adds up saved profiles, "-" being stdin, to be freed by the caller. An exit code, after a
 * message. */
int read_profiles(char *const *paths, size_t n, struct profile **ret_profile);

/* Raises the limit of open files, as each thread needs some; keeps others' memory that we hold from
 * core dumps and debuggers. */
void limits_prepare(void);

/* What the sampler needs of its process, and a launched command must not inherit: limits, SIGCHLD,
 * timers. */
void prepare_sampler(void);

#endif
