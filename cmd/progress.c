/* SPDX-License-Identifier: MIT */
#include "cmd/progress.h"

#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

enum { REDRAW_NS = 250 * 1000 * 1000, COLUMNS_MAX = 72 };

/* Room is left for the ^C that the terminal echoes: past the line's end it would begin a new one.
 */
static int columns(void)
{
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 4;
    return known && size.ws_col - 4 < COLUMNS_MAX ? size.ws_col - 4 : COLUMNS_MAX;
}

static double seconds_since(uint64_t ns)
{
    return (double)(clock_now_ns() - ns) / 1e9;
}

void progress_begin(struct progress *p, const struct options *opt, bool launched)
{
    *p = (struct progress){.quiet = opt->quiet || launched,
                           .terminal = isatty(STDERR_FILENO) == 1,
                           .columns = columns(),
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
    char text[COLUMNS_MAX + 1];
    if (p->quiet || !p->terminal || clock_now_ns() - p->drawn_ns < REDRAW_NS)
        return;
    p->drawn_ns = clock_now_ns();
    p->drawn = true;
    snprintf(text, (size_t)p->columns + 1,
             "oxprof: %.1f s, %" PRIu64 " samples%s (Ctrl-C ends and reports)",
             seconds_since(p->began_ns), samples, paused ? ", paused" : "");
    fprintf(stderr, "\r%-*s", p->columns, text);
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
        fprintf(stderr, "\r%*s\r", p->columns, "");
    p->drawn = false;
}

void progress_end(struct progress *p, uint64_t samples)
{
    progress_clear(p);
    if (!p->quiet && !p->terminal)
        say("%" PRIu64 " samples in %.2f s", samples, seconds_since(p->began_ns));
}
