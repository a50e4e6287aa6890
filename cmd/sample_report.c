/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "cmd/sample.h"

void sample_show_warnings(struct run *r)
{
    const char *text;
    if (r->face && r->face->owns_terminal && !r->face_ended)
        return;
    for (; (text = session_warning(r->session, r->warnings_shown)); r->warnings_shown++) {
        progress_clear(&r->progress);
        if (!r->opt.quiet)
            say("%s", text);
    }
}

/* Of calls that were all under way as sampling began, nothing is known. */
static void print_seconds(double ns, FILE *out)
{
    if (ns > 0)
        fprintf(out, "%10.4f ", ns / 1e9);
    else
        fprintf(out, "%10s ", "-");
}

/* As comments: whoever adds up the report's columns does not see them. Other formats have no
 * comments, and what goes into a file is the report alone. */
static void print_calls(struct run *r, const struct profile *p)
{
    size_t n;
    struct calls_dropped dropped;
    if (!r->calls)
        return;
    bool with_text = !r->opt.output && !strcmp(output_format(&r->opt), "text");
    FILE *out = with_text ? stdout : stderr;
    calls_digest_all(r->calls);
    struct call_row *rows = calls_table(r->calls, &n, &dropped);
    fputs("#\n# calls (those shorter than the interval are mostly not seen)\n"
          "#  CALLS     MEAN S  LONGEST S  RUNNING  FUNCTION\n",
          out);
    for (size_t i = 0; i < n; i++) {
        char name[1024];
        escape_text(name, sizeof(name), intern_get(p->strings, rows[i].function), NULL);
        fprintf(out, "# %6" PRIu64 " ", rows[i].calls);
        print_seconds(rows[i].whole ? rows[i].sum_ns / (double)rows[i].whole : 0, out);
        print_seconds(rows[i].longest_ns, out);
        fprintf(out, "%8" PRIu64 "  %s\n", rows[i].running, name);
    }
    if (calls_dropped_any(&dropped))
        fprintf(out,
                "# not counted: stretches that came too fast %" PRIu64
                ", with functions past the most %" PRIu64 ", with calls too deep %" PRIu64 "\n",
                dropped.stretches, dropped.functions, dropped.nested);
    free(rows);
}

/* -v: which modules lack names, and what to do about it. */
static void show_advice(struct run *r)
{
    char path[1024], advice[400];
    const char *module;
    for (size_t i = 0; session_advice(r->session, i, &module, advice, sizeof(advice)); i++) {
        escape_text(path, sizeof(path), module, NULL);
        if (advice[0])
            say("%s: %s", path, advice);
    }
}

/* How the command ended, as the shell would say it. */
static int exit_of_child(const struct run *r)
{
    int status = 0;
    if (!session_child_status(r->session, &status))
        return EXIT_LAUNCH_FAILED;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int report(struct run *r)
{
    struct error err;
    bool launched = r->launcher.pid > 0;
    int done = launched ? exit_of_child(r) : EXIT_DONE;
    struct profile *p = session_profile(r->session);
    sample_show_warnings(r);
    if (r->opt.verbose)
        show_advice(r);
    progress_end(&r->progress, session_samples(r->session));
    if (!session_stopping(r->session))
        guardian_end(&r->guardian);
    if (r->face && !r->opt.output)
        return done;
    if (!session_samples(r->session) && !launched) {
        say("no samples: %s", session_paused(r->session)
                                  ? "it stayed paused (SIGUSR2 resumes)"
                                  : "the target ended, or nothing ran, too soon");
        return EXIT_NO_SAMPLES;
    }
    if (p->untimed)
        say("the order in time ends early: %" PRIu64 " of %" PRIu64
            " samples came after its limit, and are left out",
            p->untimed, session_samples(r->session));
    if (!launched)
        loop_end(&r->loop);
    if (output_report(&r->opt, p, stdout, &err) == 0) {
        print_calls(r, p);
        return done;
    }
    say("%s", err.text);
    return launched ? EXIT_LAUNCH_FAILED : EXIT_FAILED;
}

/*
 * A stop has not come in time: its thread hangs in the kernel, or gets no CPU. Should it come now,
 * the thread must not wait for the report to be named, written and read by whoever reads it. So a
 * child of ours, which traces nobody, does that, and we go on ending stops.
 */
static int report_apart(struct run *r)
{
    enum { LOOK_NS = 50 * 1000 * 1000 };
    struct timespec wait = clock_timespec(LOOK_NS);
    unsigned char code = EXIT_FAILED;
    int done[2];
    pid_t writer = pipe2(done, O_CLOEXEC | O_NONBLOCK) < 0 ? -1 : fork();
    if (writer < 0) {
        say("the report can't be written: %s", strerror(errno));
        return EXIT_FAILED;
    }
    if (writer == 0) {
        code = (unsigned char)report(r);
        fflush(stdout);
        _exit(write(done[1], &code, 1) == 1 ? code : EXIT_FAILED);
    }
    close(done[1]);
    while (read(done[0], &code, 1) < 0 && errno == EAGAIN) {
        int sig = sigtimedwait(&r->loop.awaited, NULL, &wait);
        if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT)
            kill(writer, sig);
        session_collect(r->session);
    }
    close(done[0]);
    return code;
}

int sample_report(struct run *r)
{
    return session_stopping(r->session) ? report_apart(r) : report(r);
}
