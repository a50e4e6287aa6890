/* SPDX-License-Identifier: MIT */
#include "live/terminal_state.h"

#define NCURSES_NOMACROS
#include <curses.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/mem.h"

/* --- text */

static void begin_row(struct terminal *t, int row)
{
    t->columns_left =
        move(row, 0) == ERR ? 0 : getmaxx(stdscr); /* a small terminal has no such row */
}

/* Columns that a character takes; what the locale can't show, as most terminals do. */
static int columns_of(const char *character, size_t bytes)
{
    wchar_t wide;
    mbstate_t state = {0};
    if (mbrtowc(&wide, character, bytes, &state) != bytes)
        return 1;
    int columns = wcwidth(wide);
    return columns < 0 ? 1 : columns;
}

/* What the row has room for: the rest is left out. Nothing of it is taken for a format. */
static void put_text(struct terminal *t, const char *text)
{
    char safe[1024];
    size_t n = escape_text(safe, sizeof(safe), text, NULL);
    for (size_t i = 0; !t->utf8 && i < n; i++)
        if ((unsigned char)safe[i] >= 0x80)
            safe[i] = '?';
    for (size_t i = 0; i < n;) {
        size_t len = escape_utf8_len(safe + i, n - i);
        len = len ? len : 1;
        int columns = columns_of(safe + i, len);
        if (columns > t->columns_left) {
            t->columns_left = 0;
            break;
        }
        addnstr(safe + i, (int)len);
        t->columns_left -= columns;
        i += len;
    }
}

static void put(struct terminal *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct terminal *t, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    put_text(t, text);
}

static void put_duration(struct terminal *t, double ns)
{
    if (ns >= 1e9)
        put(t, "%.2f s", ns / 1e9);
    else if (ns >= 1e6)
        put(t, "%.2f ms", ns / 1e6);
    else
        put(t, "%.0f us", ns / 1e3);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* --- the head */

static void draw_state(struct terminal *t)
{
    const struct session_status *s = &t->mirror->status;
    bool ended = s->finished || !s->processes;
    const char *name = !t->mirror->updates ? "starting"
                       : ended             ? "ended"
                       : s->paused         ? (s->stopping ? "PAUSING" : "PAUSED")
                                           : "";
    if (!*name)
        return;
    put_text(t, "  ");
    attron(A_BOLD | (t->color ? COLOR_PAIR(PAIR_WRONG) : 0));
    put_text(t, name);
    attroff(A_BOLD | (t->color ? COLOR_PAIR(PAIR_WRONG) : 0));
}

static void draw_losses(struct terminal *t)
{
    const struct session_status *s = &t->mirror->status;
    uint64_t lost = 0;
    for (unsigned i = 0; i < LOSS_N; i++)
        lost += s->lost[i];
    put(t, "; %" PRIu64 " lost", lost);
    for (unsigned i = 0; i < LOSS_N; i++)
        if (s->lost[i])
            put(t, ", %" PRIu64 " %s", s->lost[i], loss_name((enum loss)i));
}

static void draw_head(struct terminal *t)
{
    const struct session_status *s = &t->mirror->status;
    begin_row(t, 0);
    attron(A_BOLD);
    put(t, "oxprof top: ");
    put_text(t, intern_get(t->mirror->p->strings, t->mirror->p->title));
    attroff(A_BOLD);
    draw_state(t);
    begin_row(t, 1);
    put(t, "%" PRIu64 " samples in %.1f s, %zu thread%s", s->samples, (double)s->sampled_ns / 1e9,
        s->threads, s->threads == 1 ? "" : "s");
    draw_losses(t);
    begin_row(t, 2);
    put(t, "every ");
    put_duration(t, (double)s->interval_ns);
    put(t, ", seen ");
    put_duration(t, s->achieved_mean_ns);
    put(t, " +- ");
    put_duration(t, s->achieved_deviation_ns);
    put(t, "; %" PRIu64 " stops of ", s->cost.stops);
    put_duration(t, s->cost.stops ? (double)s->cost.stop_ns_sum / (double)s->cost.stops : 0);
    put(t, "; oxprof %.1f%% CPU", percent(s->cost.profiler_cpu_ns, s->sampled_ns));
}

/* --- the body */

static void put_function(struct terminal *t, uint32_t function)
{
    char *name OX_FREE = terminal_function(t, function);
    put_text(t, name);
}

static void draw_line(struct terminal *t, const struct line *l)
{
    if (t->scene == SCENE_THREADS) {
        const struct profile_thread *th = &t->tab.p->threads[l->id];
        put(t, "%9" PRIu64 " %9" PRIu64 " %7.2f %8d %8d  ", l->self, l->total,
            percent(l->self, l->self + l->total), th->pid, th->tid);
        put_text(t, intern_get(t->tab.p->strings, th->name));
    } else if (t->scene == SCENE_TREE) {
        put(t, "%9" PRIu64 " %7.2f  %*s", l->total, percent(l->total, t->samples),
            (int)(l->depth < 40 ? 2 * l->depth : 80), "");
        put_function(t, l->id);
    } else {
        put(t, "%8" PRIu64 " %6.2f %8" PRIu64 " %6.2f  %-7s ", l->self,
            percent(l->self, t->samples), l->total, percent(l->total, t->samples),
            frame_kind_name(t->tab.functions[l->id].row.kind));
        put_function(t, l->id);
    }
}

static void draw_column_heads(struct terminal *t)
{
    begin_row(t, HEAD_LINES - 1);
    attron(A_REVERSE);
    hline(' ', getmaxx(stdscr));
    if (t->scene == SCENE_HELP)
        put(t, "  KEYS");
    else if (t->scene == SCENE_THREADS)
        put(t, "%9s %9s %7s %8s %8s  %s", "ON CPU", "WAITING", "BUSY%", "PID", "TID", "THREAD");
    else if (t->scene == SCENE_TREE)
        put(t, "%9s %7s  %s", "TOTAL", "TOTAL%", t->callers ? "WHO CALLS" : "WHAT IT CALLS");
    else
        put(t, "%8s %6s %8s %6s  %-7s %s", "SELF", "SELF%", "TOTAL", "TOTAL%", "KIND", "FUNCTION");
    attroff(A_REVERSE);
}

static void draw_mode(struct terminal *t)
{
    begin_row(t, HEAD_LINES - 2);
    if (t->message[0]) {
        attron(A_BOLD);
        put_text(t, t->message);
        attroff(A_BOLD);
        return;
    }
    put(t, "%s", t->state == PROFILE_CPU ? "on CPU" : "waiting");
    if (t->recent)
        put(t, ", last %d s", RECENT_S);
    if (t->thread_index != UINT32_MAX && t->thread_index < t->mirror->p->n_threads)
        put(t, ", thread %d", t->mirror->p->threads[t->thread_index].tid);
    if (t->filtered)
        put(t, ", /%s/", t->filter_text);
    put(t, "   h help  q quit  p pause  w on CPU/waiting  t threads  / search");
}

size_t terminal_body_height(void)
{
    int rows = getmaxy(stdscr) - HEAD_LINES;
    return rows > 0 ? (size_t)rows : 0;
}

void terminal_keep_in_sight(struct terminal *t)
{
    size_t height = terminal_body_height();
    if (t->selected >= t->n_lines)
        t->selected = t->n_lines ? t->n_lines - 1 : 0;
    if (t->selected < t->top)
        t->top = t->selected;
    if (height && t->selected >= t->top + height)
        t->top = t->selected - height + 1;
}

static void draw_help(struct terminal *t)
{
    static const char *const help[] = {
        "s self  S total  n name    order of the functions",
        "w                          on CPU, or waiting",
        "a                          all, or the last 10 seconds",
        "t                          threads; Enter shows one's functions",
        "Enter                      call tree of the function; c callers, callees",
        "/                          search: a regular expression; empty: all",
        "p or space                 pause, resume     r  begin a new count",
        "i                          interval, as 10ms (begins a new count)",
        "arrows, PgUp, PgDn, Home, End                move",
        "Esc or Backspace           back, to all      q  quit",
    };
    for (size_t i = 0; i < sizeof(help) / sizeof(*help); i++) {
        begin_row(t, HEAD_LINES + (int)i);
        put(t, "  %s", help[i]);
    }
}

static void draw_emptiness(struct terminal *t)
{
    begin_row(t, HEAD_LINES);
    if (t->scene == SCENE_TREE)
        put(t, "  no hits of %s here (Esc: back)", t->chosen);
    else if (t->filtered)
        put(t, "  nothing matches /%s/ (Esc: all)", t->filter_text);
    else
        put(t, "  no samples %s", t->state == PROFILE_CPU ? "on CPU (w: waiting)" : "of waiting");
}

void terminal_draw(struct terminal *t)
{
    size_t height = terminal_body_height();
    t->drawn_ns = clock_now_ns();
    t->stale = false;
    terminal_list(t);
    terminal_keep_in_sight(t);
    erase();
    draw_head(t);
    draw_mode(t);
    draw_column_heads(t);
    for (size_t i = 0; t->scene != SCENE_HELP && i < height && t->top + i < t->n_lines; i++) {
        bool chosen = t->top + i == t->selected;
        begin_row(t, HEAD_LINES + (int)i);
        if (chosen)
            attron(A_BOLD | (t->color ? (unsigned)COLOR_PAIR(PAIR_CHOSEN) : A_UNDERLINE));
        draw_line(t, &t->lines[t->top + i]);
        if (chosen)
            attroff(A_BOLD | (t->color ? (unsigned)COLOR_PAIR(PAIR_CHOSEN) : A_UNDERLINE));
    }
    if (t->scene == SCENE_HELP)
        draw_help(t);
    else if (!t->n_lines)
        draw_emptiness(t);
    terminal_list_release(t);
    refresh();
}

void terminal_prompt(struct terminal *t, const char *prompt, const char *text)
{
    begin_row(t, HEAD_LINES - 2);
    clrtoeol();
    put(t, "%s%s", prompt, text);
    refresh();
}
