/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/sample.h"
#include "target/proctext.h"

enum {
    STOPS_NS = 100 * 1000 * 1000, /* how long a report waits for stops under way */
    TURN_NS = 250 * 1000 * 1000,  /* how long a face does */
};

int exit_of_error(int rc)
{
    switch (rc) {
    case -ESRCH:
        return EXIT_NO_PROCESS;
    case -EPERM:
    case -EACCES:
        return EXIT_NOT_PERMITTED;
    default:
        return EXIT_FAILED;
    }
}

/* The process of a thread: /proc/TID/status works for any thread, and its Tgid says whose it is. */
static int pid_of_tid(pid_t tid, pid_t *ret_pid, struct error *err)
{
    char path[64], text[8192];
    struct proc_status status;
    snprintf(path, sizeof(path), "/proc/%d/status", tid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
    if (f)
        fclose(f);
    if (!n || proctext_status(text, n, &status) < 0 || !status.tgid)
        return error_set(err, -ESRCH, "no thread %d: it has ended, or the number is wrong", tid);
    *ret_pid = status.tgid;
    return 0;
}

int add_targets(struct session *s, const struct options *opt)
{
    struct error err;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < opt->n_pids; i++)
        rc = session_add(s, opt->pids[i], 0, &err);
    for (size_t i = 0; rc == 0 && i < opt->n_tids; i++) {
        pid_t pid = 0;
        rc = pid_of_tid(opt->tids[i], &pid, &err);
        if (rc == 0)
            rc = session_add(s, pid, opt->tids[i], &err);
    }
    if (rc == 0)
        return EXIT_DONE;
    say("%s", err.text);
    return exit_of_error(rc);
}

void prepare_terminal(struct options *opt)
{
    struct winsize size;
    bool terminal = !opt->output && isatty(STDOUT_FILENO);
    opt->report.color = opt->color == COLOR_ALWAYS || (opt->color == COLOR_AUTO && terminal);
    if (!terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col)
        return;
    opt->report.width = size.ws_col;
    opt->report.height = opt->report.top ? 0 : size.ws_row;
}

/* On SIGUSR1: the report so far, which must not mix with the command's output. */
static void report_so_far(struct run *r)
{
    struct error err;
    progress_clear(&r->progress);
    /* Naming and writing may take long: never with a thread of the target in hand. */
    if (!session_end_stops(r->session, STOPS_NS))
        say("no report now: a thread of the target is about to stop; try again");
    else if (output_report(&r->opt, session_profile(r->session), stderr, &err) < 0)
        say("%s", err.text);
}

static void toggle_pause(struct run *r)
{
    session_end_stops(r->session, STOPS_NS);
    if (session_paused(r->session))
        session_resume(r->session);
    else
        session_pause(r->session);
    progress_event(&r->progress,
                   session_paused(r->session) ? "paused (SIGUSR2 resumes)" : "resumed");
}

/* Ctrl-Z: not with a thread of the target in hand, if it can be had. The guardian knows the rest.
 */
static void suspend(struct run *r)
{
    session_end_stops(r->session, STOPS_NS);
    progress_clear(&r->progress);
    raise(SIGSTOP);
}

static bool child_runs(const struct run *r)
{
    int status;
    return r->launcher.pid > 0 && !session_child_status(r->session, &status);
}

static void handle_signal(struct run *r, int sig)
{
    bool launched = child_runs(r);
    switch (sig) {
    case SIGCHLD:
        session_collect(r->session);
        break;
    case SIGUSR1:
        report_so_far(r);
        break;
    case SIGUSR2:
        toggle_pause(r);
        break;
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        suspend(r);
        break;
    case SIGINT:
    case SIGQUIT: /* from the terminal, to the command too: it decides */
        r->stop_asked |= !launched;
        break;
    case SIGTERM:
    case SIGHUP:
        if (launched)
            kill(r->launcher.pid, sig);
        r->stop_asked |= !launched;
        break;
    default:
        break;
    }
}

/* Their names are wanted while it runs; a few at a time, so that no tick waits for them. */
static void follow_calls(struct run *r)
{
    enum { NAMES_PER_TURN = 64 };
    bool renamed;
    if (!r->calls)
        return;
    size_t named = session_name_new(r->session, NAMES_PER_TURN, &renamed);
    if (renamed)
        calls_renamed(r->calls);
    calls_digest(r->calls, named);
}

static bool is_over(const struct run *r)
{
    return !r->face && (r->launcher.pid > 0 ? !child_runs(r) : session_finished(r->session));
}

/* Best with no stop under way: its thread might wait for us. But on a busy machine there is always
 * one, and whoever looks waits too. */
static void turn(struct run *r)
{
    uint64_t now = clock_now_ns();
    if (session_stopping(r->session) && now - r->turned_ns < TURN_NS)
        return;
    r->turned_ns = now;
    follow_calls(r);
    if (r->face && r->face->turn(r->face->arg))
        r->stop_asked = true;
}

static void sample(struct run *r)
{
    while (!r->stop_asked || child_runs(r)) {
        int sig = loop_wait(&r->loop, session_next_ns(r->session));
        if (sig)
            handle_signal(r, sig);
        if (clock_now_ns() >= session_next_ns(r->session) || !sig)
            session_tick(r->session);
        if (is_over(r))
            break;
        if (session_finished(r->session))
            session_finish(r->session);
        turn(r);
        if (session_stopping(r->session))
            continue; /* a terminal may keep a writer waiting */
        sample_show_warnings(r);
        progress_update(&r->progress, session_samples(r->session), session_paused(r->session));
    }
    session_finish(r->session);
}

void prepare_sampler(void)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &by_default, NULL); /* ignored, it would not tell of stops */
    prctl(PR_SET_TIMERSLACK, 1);           /* ns; 50,000 is the default */
    limits_prepare();
}

/* What shows the run may begin threads: before ours changes its priority, and after the forks. */
static int begin_session(struct run *r)
{
    prepare_sampler();
    int code = r->face ? r->face->begin(r->face->arg) : EXIT_DONE;
    if (code != EXIT_DONE)
        return code;
    r->session = session_new(&r->opt.session, &r->guardian);
    if (r->face)
        r->face->attach(r->face->arg, r->session);
    else if (r->opt.calls)
        calls_attach(r->calls = calls_new(r->opt.calls), r->session);
    return EXIT_DONE;
}

static int launch(struct run *r)
{
    struct error err;
    if (launcher_start(&r->launcher, r->opt.command, &r->loop.inherited, &err) < 0) {
        say("%s", err.text);
        return EXIT_LAUNCH_FAILED;
    }
    if (begin_session(r) != EXIT_DONE)
        return EXIT_LAUNCH_FAILED;
    session_start(r->session);
    int rc = launcher_go(&r->launcher, r->opt.command[0], &err);
    if (rc < 0) {
        say("%s", err.text);
        return rc == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
    }
    session_set_child(r->session, r->launcher.pid);
    rc = session_add(r->session, r->launcher.pid, 0, &err);
    /* It may have ended already; anything else is told, and the command runs on unprofiled. */
    if (rc < 0 && rc != -ESRCH)
        say("%s", err.text);
    return EXIT_DONE;
}

static int attach(struct run *r)
{
    int code = begin_session(r);
    if (code != EXIT_DONE)
        return code;
    code = add_targets(r->session, &r->opt);
    if (code == EXIT_DONE)
        session_start(r->session);
    return code;
}

static int check_usage(const struct options *opt)
{
    bool ids = opt->n_pids || opt->n_tids;
    if (ids && opt->command)
        say("either -p or a command, not both");
    else if (!ids && !opt->command)
        say("nothing to sample: -p PID, or -- CMD (see oxprof --help)");
    else
        return EXIT_DONE;
    return EXIT_USAGE;
}

static void end_face(struct run *r)
{
    if (r->face && !r->face_ended)
        r->face->end(r->face->arg);
    r->face_ended = true;
}

static int run(struct run *r)
{
    struct error err;
    bool launched = r->opt.command != NULL;
    r->opt.session.keep_time = report_time_of(output_format(&r->opt)) != TIME_NO_USE;
    if (output_check(&r->opt, &err) < 0) {
        say("%s", err.text);
        return launched ? EXIT_LAUNCH_FAILED : EXIT_FAILED;
    }
    loop_begin(&r->loop);
    int rc = guardian_start(&r->guardian);
    if (rc < 0) {
        say("can't start the guardian process: %s", strerror(-rc));
        return launched ? EXIT_LAUNCH_FAILED : EXIT_FAILED;
    }
    int code = launched ? launch(r) : attach(r);
    if (code == EXIT_DONE) {
        progress_begin(&r->progress, &r->opt, launched || r->face);
        sample(r);
        end_face(r);
        code = sample_report(r);
    }
    end_face(r);
    guardian_end(&r->guardian);
    session_free(r->session);
    calls_free(r->calls);
    launcher_release(&r->launcher);
    return code;
}

static int sample_with(struct run *r, int argc, char **argv, const struct sample_defaults *defaults)
{
    int code;
    if (!options_parse(&r->opt, argc, argv, OPTIONS_SAMPLE | OPTIONS_PRINT))
        return EXIT_USAGE;
    if (help_asked(&r->opt, defaults->help, &code))
        return code;
    if (check_usage(&r->opt) != EXIT_DONE)
        return EXIT_USAGE;
    r->opt.default_format = defaults->format;
    if (!r->opt.output_given)
        r->opt.output = defaults->output;
    if (!options_fit_format(&r->opt, output_format(&r->opt)))
        return EXIT_USAGE;
    prepare_terminal(&r->opt);
    return run(r);
}

int sample_for(const struct options *opt, const struct face *face)
{
    struct run r = {.opt = *opt, .launcher = {.go_fd = -1, .failed_fd = -1}, .face = face};
    if (check_usage(&r.opt) != EXIT_DONE)
        return EXIT_USAGE;
    return run(&r);
}

int sample_as(int argc, char **argv, const struct sample_defaults *defaults)
{
    struct run r = {.launcher = {.go_fd = -1, .failed_fd = -1}};
    int code = sample_with(&r, argc, argv, defaults);
    options_release(&r.opt);
    return code;
}

int sample_main(int argc, char **argv)
{
    return sample_as(argc, argv, &(struct sample_defaults){.format = "text", .help = help_print});
}
