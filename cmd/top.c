/* SPDX-License-Identifier: MIT */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "live/terminal.h"

/* `oxprof top`: the run in a terminal. */
struct topping {
    const struct options *opt;
    struct session *session; /* borrowed */
    struct feed *feed;
    struct terminal *terminal;
};

enum { STOPS_NS = 100 * 1000 * 1000 }; /* how long a stop of ours waits for those of threads */

static bool colored(const struct options *opt)
{
    const char *no_color = getenv("NO_COLOR");
    return opt->color == COLOR_ALWAYS || (opt->color == COLOR_AUTO && (!no_color || !*no_color));
}

static int begin(void *arg)
{
    struct topping *t = arg;
    struct error err;
    t->feed = feed_new();
    if (terminal_start(&t->terminal, t->feed, colored(t->opt), &err) == 0)
        return EXIT_DONE;
    say("%s", err.text);
    return EXIT_FAILED;
}

static void attach(void *arg, struct session *session)
{
    struct topping *t = arg;
    t->session = session;
    feed_attach(t->feed, session, NULL);
}

static bool turn(void *arg)
{
    struct topping *t = arg;
    feed_turn(t->feed);
    if (terminal_wants_stop(t->terminal)) {
        session_end_stops(t->session, STOPS_NS);
        raise(SIGSTOP);
        terminal_go_on(t->terminal);
    }
    return terminal_ended(t->terminal);
}

static void end(void *arg)
{
    struct topping *t = arg;
    terminal_end(t->terminal);
    t->terminal = NULL;
}

static int run(const struct options *opt)
{
    struct topping t = {.opt = opt};
    struct face face = {.arg = &t,
                        .begin = begin,
                        .attach = attach,
                        .turn = turn,
                        .end = end,
                        .owns_terminal = true};
    setlocale(LC_CTYPE, "");
    int code = sample_for(opt, &face);
    feed_free(t.feed);
    return code;
}

/* --- the process beside it: what the terminal was, it is again, however the view dies */

static void pass_on(int sig, pid_t child)
{
    if (sig != SIGCHLD)
        kill(child, sig);
}

/* The status of waitpid(2) once it has ended. Stopped, it stops us too: the shell looks at us. */
static int await(pid_t child, const sigset_t *awaited)
{
    int sig, status;
    while (sigwait(awaited, &sig) == 0) {
        pass_on(sig, child);
        pid_t got = waitpid(child, &status, WNOHANG | WUNTRACED);
        if (got == child && !WIFSTOPPED(status))
            return status;
        if (got == child) {
            raise(SIGSTOP);
            kill(child, SIGCONT);
        }
    }
    return -1;
}

static int guard(const struct options *opt)
{
    sigset_t awaited, before;
    struct terminal_modes *modes = terminal_remember();
    pid_t parent = getpid();
    const int handled[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    sigemptyset(&awaited);
    for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++)
        sigaddset(&awaited, handled[i]);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &awaited, &before);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(EXIT_FAILED);
        sigprocmask(SIG_SETMASK, &before, NULL);
        terminal_forget(modes);
        exit(run(opt));
    }
    int status = child < 0 ? -1 : await(child, &awaited);
    if (child > 0 && WIFEXITED(status)) {
        terminal_forget(modes);
        return WEXITSTATUS(status);
    }
    terminal_restore(modes);
    say("the view died unexpectedly; the target runs on");
    return EXIT_FAILED;
}

int top_main(int argc, char **argv)
{
    struct options opt;
    int code;
    if (!options_parse(&opt, argc, argv, OPTIONS_SAMPLE | OPTIONS_PRINT)) {
        code = EXIT_USAGE;
    } else if (help_asked(&opt, help_top, &code)) {
        ;
    } else if (opt.command) {
        say("top is for processes that run already: its screen would mix with the command's");
        code = EXIT_USAGE;
    } else if (!opt.output && (opt.format || opt.row_option || opt.report.threads)) {
        say("the view has its own keys; options for a report need -o FILE, where it is written "
            "at the end");
        code = EXIT_USAGE;
    } else if (!options_fit_format(&opt, output_format(&opt))) {
        code = EXIT_USAGE;
    } else {
        code = guard(&opt);
    }
    options_release(&opt);
    return code;
}
