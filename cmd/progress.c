/* SPDX-License-Identifier: MIT */
#include "cmd/progress.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"

enum { REDRAW_NS = 250 * 1000 * 1000, LINE_COLUMNS = 79 };

static double seconds_since(uint64_t ns)
{
    return (double)(clock_now_ns() - ns) / 1e9;
}

void progress_begin(struct progress *p, const struct options *opt, bool launched)
{
    *p = (struct progress){.quiet = opt->quiet || launched,
                           .terminal = isatty(STDERR_FILENO) == 1,
                           .began_ns = clock_now_ns()};
    if (p->quiet || p->terminal)
        return;
    if (opt->session.duration_ns)
        say("sampling for %.3g s", (double)opt->session.duration_ns / 1e9);
    else
        say("sampling until the target ends, or SIGINT");
}

void progress_update(struct progress *p, uint64_t samples, bool paused)
{
    char text[LINE_COLUMNS + 1];
    if (p->quiet || !p->terminal || clock_now_ns() - p->drawn_ns < REDRAW_NS)
        return;
    p->drawn_ns = clock_now_ns();
    p->drawn = true;
    snprintf(text, sizeof(text), "oxprof: %.1f s, %" PRIu64 " samples%s (Ctrl-C ends and reports)",
             seconds_since(p->began_ns), samples, paused ? ", paused" : "");
    fprintf(stderr, "\r%-*s", LINE_COLUMNS, text);
}

void progress_event(struct progress *p, const char *what)
{
    progress_clear(p);
    if (!p->quiet)
        say("%s", what);
}

void progress_clear(struct progress *p)
{
    if (p->drawn)
        fprintf(stderr, "\r%*s\r", LINE_COLUMNS, "");
    p->drawn = false;
}

void progress_end(struct progress *p, uint64_t samples)
{
    progress_clear(p);
    if (!p->quiet && !p->terminal)
        say("%" PRIu64 " samples in %.2f s", samples, seconds_since(p->began_ns));
}
