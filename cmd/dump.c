/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/dump.h"
#include "cmd/loop.h"
#include "report/table.h"
#include "symbols/symbols.h"

enum {
    DUMP_NS = 1000 * 1000 * 1000,
    LOOK_GAP_NS = 2 * 1000 * 1000, /* for those that go back to sleep after their stop */
    LOOKS_MAX = 10,
};

static void print_name(const char *name)
{
    char text[1024];
    escape_text(text, sizeof(text), name, NULL);
    fputs(text, stdout);
}

void dump_thread(pid_t tid, const char *name, bool asleep, int64_t nr)
{
    const char *call = nr >= 0 ? syscall_name(nr) : NULL;
    printf("# thread %d (", tid);
    print_name(name);
    if (!asleep)
        puts("): on CPU");
    else if (call)
        printf("): waiting in %s\n", call);
    else
        puts("): waiting");
}

static void print_frame(const char *function, const char *place)
{
    fputs("    ", stdout);
    print_name(function);
    if (place[0]) {
        fputs(" (", stdout);
        print_name(place);
        putchar(')');
    }
    putchar('\n');
}

void dump_wait(const char *wait)
{
    char *text OX_FREE = mem_printf("[%s]", wait);
    print_frame(text, "");
}

void dump_stack(const struct profile *p, uint32_t tally, const struct report_options *opt)
{
    for (uint32_t node = p->tallies[tally].node; node; node = p->nodes[node].parent) {
        struct shown_lines shown = report_lines(p, opt, p->nodes[node].frame);
        for (uint32_t line = shown.first; line < shown.end; line++) {
            struct report_row row = report_row_of(p, opt, &p->frames[p->nodes[node].frame], line);
            char *place OX_FREE = report_place(p, opt, &row);
            print_frame(intern_get(p->strings, row.function), place);
        }
    }
}

/* "# deadlock: A (tid 1) waits for the mutex at 0x7f00 held by B (tid 2)", and a line for B. */
static void print_link(void *arg, const struct session_link *l)
{
    (void)arg;
    fputs(l->first ? "#\n# deadlock: " : "#           ", stdout);
    print_name(l->name);
    if (l->lock)
        printf(" (tid %d) waits for the %s at 0x%" PRIx64 " held by ", l->tid, l->lock, l->addr);
    else
        printf(" (tid %d) waits for the end of ", l->tid);
    if (l->tid == l->holder_tid) {
        puts("itself");
        return;
    }
    print_name(l->holder);
    printf(" (tid %d)\n", l->holder_tid);
}

/* How many there were. */
static size_t print_threads(struct session *s, const struct profile *p,
                            const struct report_options *opt)
{
    struct session_thread th;
    size_t n = 0;
    printf("# oxprof %s: %s, %" PRIu64 " thread%s\n", OX_VERSION, intern_get(p->strings, p->title),
           p->threads_seen, p->threads_seen == 1 ? "" : "s");
    session_deadlocks(s, print_link, NULL);
    for (; session_thread(s, n, &th); n++) {
        puts("#");
        if (!th.sampled) {
            printf("# thread %d (", th.tid);
            print_name(th.name);
            puts("): not seen: it has ended, or can't be stopped");
            continue;
        }
        dump_thread(th.tid, th.name, th.asleep, th.syscall);
        dump_stack(p, th.tally, opt);
    }
    return n;
}

/* One tick, and the stops that it began. */
static void look_once(struct session *s, const struct loop *l)
{
    uint64_t end = clock_now_ns() + DUMP_NS;
    session_start(s);
    while (!session_ticks(s) && clock_now_ns() < end) {
        if (loop_wait(l, session_next_ns(s)) == SIGCHLD)
            session_collect(s);
        session_tick(s);
    }
    uint64_t now = clock_now_ns();
    bool ended = session_end_stops(s, end > now ? end - now : 0);
    for (int i = 0; ended && i < LOOKS_MAX && session_look_at_sleepers(s); i++)
        loop_wait(l, clock_now_ns() + LOOK_GAP_NS);
    session_finish(s);
}

static int save(struct session *s, const char *path)
{
    struct error err;
    FILE *out = fopen(path, "we");
    int rc =
        out ? session_save_snapshots(s, out, &err) : error_set(&err, -errno, "%s", strerror(errno));
    if (out && fclose(out) != 0 && rc == 0)
        rc = error_set(&err, -errno, "%s", strerror(errno));
    if (rc == 0)
        return EXIT_DONE;
    say("%s can't be written: %s", path, err.text);
    return EXIT_FAILED;
}

static int dump(struct options *opt)
{
    struct loop loop;
    struct guardian guardian;
    loop_begin(&loop);
    int rc = guardian_start(&guardian);
    if (rc < 0) {
        say("can't start the guardian process: %s", strerror(-rc));
        return EXIT_FAILED;
    }
    prepare_sampler();
    opt->session.no_perf = true;
    opt->session.interval_ns = OX_NS_PER_S / 1000;
    opt->session.keep_snapshots = opt->save != NULL;
    struct session *s = session_new(&opt->session, &guardian);
    int code = add_targets(s, opt);
    if (code == EXIT_DONE) {
        look_once(s, &loop);
        const struct profile *p = session_profile(s);
        if (opt->save)
            code = save(s, opt->save);
        guardian_end(&guardian);
        loop_end(&loop);
        for (size_t i = 0; session_warning(s, i) && !opt->quiet; i++)
            say("%s", session_warning(s, i));
        if (!print_threads(s, p, &opt->report)) {
            say("no thread was seen: the target has ended, or its threads can't be listed");
            code = EXIT_NO_SAMPLES;
        }
        if (fflush(stdout) != 0) {
            say("standard output can't be written: %s", strerror(errno));
            code = EXIT_FAILED;
        }
    }
    guardian_end(&guardian);
    session_free(s);
    return code;
}

static int dump_with(struct options *opt, int argc, char **argv)
{
    int code;
    if (!options_parse(opt, argc, argv, OPTIONS_DUMP))
        return EXIT_USAGE;
    if (help_asked(opt, help_dump, &code))
        return code;
    opt->report.lines = true;
    bool targets = opt->n_pids || opt->n_tids;
    if (opt->replay && !targets && !opt->save)
        return dump_replay(opt);
    if (targets && !opt->replay && opt->session.capture == CAPTURE_PERF)
        say("--capture perf: it shows only threads that run for a while; dump takes auto, stop or "
            "nostop");
    else if (targets && !opt->replay)
        return dump(opt);
    else
        say("want either -p PID or --replay FILE (see oxprof dump --help)");
    return EXIT_USAGE;
}

int dump_main(int argc, char **argv)
{
    struct options opt;
    int code = dump_with(&opt, argc, argv);
    options_release(&opt);
    return code;
}
