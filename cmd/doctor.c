/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/escape.h"
#include "capture/perf.h"
#include "cmd/cmd.h"
#include "cmd/loop.h"
#include "target/diagnose.h"

/*
 * `oxprof doctor`: what works on this target. It is tried, as a second of ordinary sampling, and
 * each answer says what was seen, or the reason and the smallest cure.
 */
static const uint64_t trial_ns = OX_NS_PER_S, stops_ns = OX_NS_PER_S / 2;

static void line(const char *what, const char *answer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void line(const char *what, const char *answer, const char *fmt, ...)
{
    char text[1500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    printf("%-11s %-7s %s\n", what, answer, text);
}

static void try_out(struct session *s, const struct loop *l)
{
    uint64_t end = clock_now_ns() + trial_ns;
    session_start(s);
    while (clock_now_ns() < end && !session_finished(s)) {
        int sig = loop_wait(l, session_next_ns(s));
        if (sig == SIGCHLD)
            session_collect(s);
        else if (sig)
            break;
        session_tick(s);
    }
    session_end_stops(s, stops_ns);
    session_finish(s);
}

static void tell_stops(struct session *s, const struct options *opt)
{
    struct session_status st;
    struct session_thread th;
    char tracer[360] = "";
    session_status(s, &st);
    for (size_t i = 0; st.lost[LOSS_TRACED] && !tracer[0] && session_thread(s, i, &th); i++)
        diagnose_tracer(th.tid, tracer, sizeof(tracer));
    if (opt->session.capture == CAPTURE_NOSTOP)
        line("stop", "no", "--capture nostop: running threads are counted without a stack");
    else if (st.cost.stops)
        line("stop", "yes",
             "%" PRIu64 " stops, %.0f us on average; %" PRIu64 " system calls disturbed",
             st.cost.stops, (double)st.cost.stop_ns_sum / (double)st.cost.stops / 1e3,
             st.cost.calls_disturbed);
    else if (st.lost[LOSS_TRACED])
        line("stop", "no", "traced by %s already: end that, or sample its waiting threads alone",
             tracer[0] ? tracer : "another program");
    else if (st.lost[LOSS_REFUSED])
        line("stop", "no",
             "the kernel refuses ptrace (a seccomp filter or a security module of "
             "ours): run oxprof outside of that sandbox");
    else if (st.lost[LOSS_NO_STOP])
        line("stop", "no", "its threads hang in the kernel and did not stop within a second");
    else
        line("stop", "untried", "nothing ran in this second, so there was nothing to stop");
}

static void tell_sleepers(struct session *s, const struct profile *p)
{
    uint64_t waiting = profile_samples(p, PROFILE_WAIT);
    struct session_status st;
    session_status(s, &st);
    if (waiting)
        line("sleepers", "yes", "%" PRIu64 " samples of waiting threads, without stopping them",
             waiting);
    else if (st.lost[LOSS_UNREADABLE])
        line("sleepers", "no",
             "the kernel does not show what its threads wait in "
             "(/proc/PID/syscall, schedstat): hidepid, or a kernel without "
             "CONFIG_SCHED_INFO or CONFIG_HAVE_ARCH_TRACEHOOK");
    else
        line("sleepers", "untried", "no thread waited in this second");
}

static void tell_perf_event(void)
{
    struct error err;
    bool in_kernel = false;
    if (perf_probe(&in_kernel, &err) < 0)
        line("perf_event", "no", "%s", err.text);
    else
        line("perf_event", "yes",
             "the kernel samples the threads that run; only those that run Python are stopped; "
             "%s",
             in_kernel ? "its own functions are shown"
                       : "its own functions are not shown: that takes root, CAP_PERFMON, or "
                         "kernel.perf_event_paranoid 1");
}

static void tell_memory(const struct profile *p)
{
    uint64_t all = profile_samples(p, PROFILE_CPU) + profile_samples(p, PROFILE_WAIT);
    uint64_t bad = p->lost[LOSS_UNREADABLE] + p->lost[LOSS_UNWIND];
    if (!all && bad)
        line("memory", "no",
             "its stacks can't be read: run oxprof as root, or with "
             "CAP_SYS_PTRACE in the target's user namespace");
    else if (!all)
        line("memory", "untried", "no stack was looked at");
    else
        line("memory", bad * 10 > all ? "partly" : "yes",
             "of %" PRIu64 " stacks %" PRIu64 " could not be read or unwound, %" PRIu64
             " do not reach their beginning",
             all, bad, p->truncated);
}

static void tell_lack(size_t *lacking, const char *what, const char *cure)
{
    bool first = !(*lacking)++;
    line(first ? "names" : "", first ? "partly" : "", "%s%s%s", what, *cure ? ": " : "", cure);
}

static void tell_names(struct session *s)
{
    char path[1024], advice[400];
    const char *module;
    size_t lacking = 0;
    for (size_t i = 0; session_advice(s, i, &module, advice, sizeof(advice)); i++) {
        escape_text(path, sizeof(path), module, NULL);
        if (advice[0])
            tell_lack(&lacking, path, advice);
    }
    for (size_t i = 0; session_warning(s, i); i++)
        tell_lack(&lacking, session_warning(s, i), "");
    if (!lacking)
        line("names", "yes", "every module that was seen has symbols");
}

static bool is_python(const struct profile *p)
{
    for (size_t i = 0; i < p->n_modules; i++) {
        const char *name = intern_get(p->strings, p->modules[i].name);
        if (!strncmp(name, "libpython", 9) || !strncmp(name, "python", 6))
            return true;
    }
    return false;
}

static void tell_python(const struct profile *p)
{
    size_t frames = 0;
    for (size_t i = 0; i < p->n_frames; i++)
        frames += p->frames[i].kind == KIND_PYTHON;
    if (frames)
        line("Python", "yes", "%zu places in Python code", frames);
    else if (is_python(p))
        line("Python", "no",
             "CPython is there, but its functions were not seen: a version that "
             "this build does not know, or none of them ran");
    else
        line("Python", "none", "no CPython was seen in it");
}

static int examine(struct session *s, const struct options *opt, const struct loop *l)
{
    try_out(s, l);
    const struct profile *p = session_profile(s);
    char title[1024];
    escape_text(title, sizeof(title), intern_get(p->strings, p->title), NULL);
    printf("# oxprof %s doctor: %s, %" PRIu64 " thread%s, a second at %g Hz\n", OX_VERSION, title,
           p->threads_seen, p->threads_seen == 1 ? "" : "s",
           (double)OX_NS_PER_S / (double)opt->session.interval_ns);
    line("attach", "yes", "its threads can be watched");
    tell_stops(s, opt);
    tell_sleepers(s, p);
    tell_perf_event();
    tell_memory(p);
    tell_names(s);
    tell_python(p);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int doctor(const struct options *opt)
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
    struct session_options session = opt->session;
    session.no_perf = true; /* whether stops work, too */
    struct session *s = session_new(&session, &guardian);
    int code = add_targets(s, opt);
    if (code == EXIT_DONE)
        code = examine(s, opt, &loop);
    guardian_end(&guardian);
    session_free(s);
    return code;
}

int doctor_main(int argc, char **argv)
{
    struct options opt;
    int code;
    if (!options_parse(&opt, argc, argv, OPTIONS_DUMP)) {
        code = EXIT_USAGE;
    } else if (help_asked(&opt, help_doctor, &code)) {
        ;
    } else if (!opt.n_pids && !opt.n_tids) {
        say("want -p PID (see oxprof doctor --help)");
        code = EXIT_USAGE;
    } else {
        code = doctor(&opt);
    }
    options_release(&opt);
    return code;
}
