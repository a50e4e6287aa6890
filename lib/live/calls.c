/* SPDX-License-Identifier: MIT */
#include "live/calls.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/map.h"
#include "base/mem.h"

enum {
    DEPTH_MAX = 1024,        /* as UNWIND_FRAMES_MAX */
    EVENTS_MAX = 1 << 20,    /* not yet worked off; past it they are dropped */
    FRAMES_PER_TURN = 20000, /* of the stacks that are worked off; some 10 ns each */
    FRAMES_PER_MATCH = 100,  /* a regular expression takes a microsecond or more */
    FUNCTIONS_MAX = 1 << 14, /* that match */
    OPEN_MAX = 64,           /* calls under way in one thread */
};
static const uint64_t gone_ns = 3 * OX_NS_PER_S; /* a living thread is looked at more often */

enum match { MATCH_UNKNOWN, MATCH_NO, MATCH_YES };

struct open_call {
    uint32_t parent, function; /* node; row */
    double since;              /* ticks */
    bool whole;
};

struct call_thread {
    bool seen;
    uint32_t tally;         /* of the last hit, and those before without a break */
    uint64_t first, last;   /* ticks of that tally */
    uint64_t digested_last; /* the last tick of what was worked off; 0: none */
    uint32_t digested;      /* its tally */
    struct open_call *open; /* owned; the outermost first */
    size_t n_open;
};

struct call_event {
    uint32_t thread, tally;
    uint64_t first, last; /* ticks */
};

struct calls {
    const regex_t *re; /* borrowed */
    struct session *session;
    struct call_thread *threads; /* owned, as are those below */
    size_t n_threads, threads_cap;
    struct call_event *events; /* those before n_done are worked off */
    size_t n_done, n_events, events_cap;
    size_t turn;      /* the thread whose present stack is worked off next */
    size_t frames;    /* that may still be worked off in this turn */
    uint8_t *matches; /* by frame: enum match */
    size_t matches_cap;
    struct call_row *rows;
    size_t n_rows, rows_cap;
    struct map by_function; /* (function, module) -> row */
    struct calls_dropped dropped;
};

struct calls *calls_new(const regex_t *re)
{
    struct calls *c = mem_alloc(sizeof(*c));
    c->re = re;
    return c;
}

void calls_free(struct calls *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_threads; i++)
        free(c->threads[i].open);
    free(c->threads);
    free(c->events);
    free(c->matches);
    free(c->rows);
    map_release(&c->by_function);
    free(c);
}

static struct call_thread *thread_of(struct calls *c, uint32_t thread)
{
    if (thread >= c->n_threads) {
        c->threads = mem_grow(c->threads, &c->threads_cap, (size_t)thread + 1, sizeof(*c->threads));
        memset(c->threads + c->n_threads, 0, (thread + 1 - c->n_threads) * sizeof(*c->threads));
        c->n_threads = (size_t)thread + 1;
    }
    return &c->threads[thread];
}

static void push(struct calls *c, uint32_t thread, const struct call_thread *t)
{
    if (c->n_events - c->n_done == EVENTS_MAX) {
        c->dropped.stretches++;
        return;
    }
    c->events = mem_grow(c->events, &c->events_cap, c->n_events + 1, sizeof(*c->events));
    c->events[c->n_events++] = (struct call_event){
        .thread = thread, .tally = t->tally, .first = t->first, .last = t->last};
}

/* On the sampling path: one thread's state, and an event where its stack has changed. */
static void take_hit(void *calls, uint32_t tally, uint64_t hits)
{
    struct calls *c = calls;
    uint32_t thread = session_counts(c->session)->tallies[tally].thread;
    uint64_t tick = session_ticks(c->session);
    struct call_thread *t = thread_of(c, thread);
    if (t->seen && t->tally == tally) {
        t->last = tick;
        return;
    }
    if (t->seen)
        push(c, thread, t);
    uint64_t first = tick >= hits ? tick - hits + 1 : 1;
    *t = (struct call_thread){.seen = true,
                              .tally = tally,
                              .first = t->seen && first <= t->last ? t->last + 1 : first,
                              .last = tick,
                              .digested_last = t->digested_last,
                              .digested = t->digested,
                              .open = t->open,
                              .n_open = t->n_open};
    if (t->last < t->first)
        t->last = t->first;
}

void calls_attach(struct calls *c, struct session *s)
{
    c->session = s;
    session_follow(s, take_hit, c);
}

/* --- what they mean */

static uint32_t row_of(struct calls *c, const struct profile *p, uint32_t frame)
{
    const struct profile_frame *f = &p->frames[frame];
    uint32_t function = p->lines[f->first_line + f->n_lines - 1].function;
    uint32_t module = p->modules[f->module].name;
    const uint64_t *known = map_find(&c->by_function, function, module);
    if (known)
        return (uint32_t)*known;
    if (c->n_rows == FUNCTIONS_MAX)
        return UINT32_MAX;
    c->rows = mem_grow(c->rows, &c->rows_cap, c->n_rows + 1, sizeof(*c->rows));
    c->rows[c->n_rows] = (struct call_row){.function = function, .module = module};
    map_put(&c->by_function, function, module, c->n_rows);
    return (uint32_t)c->n_rows++;
}

static bool matches(struct calls *c, const struct profile *p, uint32_t frame)
{
    size_t cap = c->matches_cap;
    c->matches = mem_grow(c->matches, &c->matches_cap, (size_t)frame + 1, 1);
    memset(c->matches + cap, MATCH_UNKNOWN, c->matches_cap - cap);
    if (c->matches[frame] == MATCH_UNKNOWN) {
        const struct profile_frame *f = &p->frames[frame];
        const char *name =
            intern_get(p->strings, p->lines[f->first_line + f->n_lines - 1].function);
        c->frames -= c->frames < FRAMES_PER_MATCH ? c->frames : FRAMES_PER_MATCH;
        c->matches[frame] = regexec(c->re, name, 0, NULL, 0) == 0 ? MATCH_YES : MATCH_NO;
    }
    return c->matches[frame] == MATCH_YES;
}

void calls_renamed(struct calls *c)
{
    const struct profile *p = session_counts(c->session);
    for (size_t i = 0; i < c->matches_cap && i < p->n_frames; i++)
        if (p->frames[i].kind == KIND_JIT)
            c->matches[i] = MATCH_UNKNOWN;
}

static void end_call(struct calls *c, const struct open_call *call, double at)
{
    struct call_row *row = &c->rows[call->function];
    double ns = (at - call->since) * (double)session_counts(c->session)->interval_ns;
    row->calls++;
    if (!call->whole)
        return;
    row->whole++;
    row->sum_ns += ns;
    if (ns > row->longest_ns)
        row->longest_ns = ns;
}

/* The calls on a stack, the outermost first. */
static size_t calls_on(struct calls *c, const struct profile *p, uint32_t node,
                       struct open_call *ret)
{
    size_t n = 0;
    bool functions = false, nested = false;
    for (size_t depth = 0; node && depth < DEPTH_MAX; depth++, node = p->nodes[node].parent) {
        c->frames -= c->frames > 0;
        if (!matches(c, p, p->nodes[node].frame))
            continue;
        uint32_t row = row_of(c, p, p->nodes[node].frame);
        functions |= row == UINT32_MAX;
        if (row == UINT32_MAX)
            continue;
        nested |= n == OPEN_MAX;
        if (n == OPEN_MAX) /* the innermost are given up */
            memmove(ret, ret + 1, --n * sizeof(*ret));
        ret[n++] = (struct open_call){.parent = p->nodes[node].parent, .function = row};
    }
    c->dropped.functions += functions;
    c->dropped.nested += nested;
    for (size_t i = 0; i < n / 2; i++) {
        struct open_call other = ret[i];
        ret[i] = ret[n - 1 - i];
        ret[n - 1 - i] = other;
    }
    return n;
}

/* A sample without a stack says nothing of calls. */
static bool tells(const struct profile *p, uint32_t tally)
{
    uint32_t node = p->tallies[tally].node;
    return node && (p->nodes[node].parent || p->frames[p->nodes[node].frame].kind != KIND_UNKNOWN);
}

static bool same_call(const struct open_call *a, const struct open_call *b)
{
    return a->parent == b->parent && a->function == b->function;
}

static void digest(struct calls *c, const struct profile *p, const struct call_event *e)
{
    struct call_thread *t = &c->threads[e->thread];
    struct open_call now[OPEN_MAX];
    if (!tells(p, e->tally))
        return;
    if (t->digested_last && t->digested == e->tally) { /* it goes on */
        t->digested_last = e->last;
        return;
    }
    size_t n = calls_on(c, p, p->tallies[e->tally].node, now), same = 0;
    while (same < n && same < t->n_open && same_call(&t->open[same], &now[same]))
        same++;
    bool first = !t->digested_last;
    double at = first ? (double)e->first - 0.5 : (double)(t->digested_last + e->first) / 2;
    for (size_t i = same; i < t->n_open; i++)
        end_call(c, &t->open[i], at);
    if (!t->open)
        t->open = mem_alloc(OPEN_MAX * sizeof(*t->open));
    for (size_t i = same; i < n; i++) {
        t->open[i] = now[i];
        t->open[i].since = at;
        t->open[i].whole = !first;
    }
    t->n_open = n;
    t->digested = e->tally;
    t->digested_last = e->last;
}

static bool is_named(const struct profile *p, uint32_t tally, size_t named)
{
    uint32_t node = p->tallies[tally].node;
    for (; node; node = p->nodes[node].parent)
        if (p->nodes[node].frame >= named)
            return false;
    return true;
}

/* Its thread has ended: so have its calls. */
static void end_gone(struct calls *c, struct call_thread *t, uint64_t present)
{
    uint64_t ticks = gone_ns / session_counts(c->session)->interval_ns + 1;
    if (!t->n_open || session_paused(c->session) || t->last + ticks > present)
        return;
    for (size_t i = 0; i < t->n_open; i++)
        end_call(c, &t->open[i], (double)t->last + 0.5);
    t->n_open = 0;
    t->digested_last = 0;
    t->seen = false;
}

static void digest_events(struct calls *c, const struct profile *p, size_t named)
{
    while (c->n_done < c->n_events && c->frames && is_named(p, c->events[c->n_done].tally, named)) {
        c->frames--;
        digest(c, p, &c->events[c->n_done++]);
    }
    if (c->n_done == c->n_events) {
        c->n_done = c->n_events = 0;
    } else if (c->n_done > c->n_events / 2) {
        memmove(c->events, c->events + c->n_done, (c->n_events - c->n_done) * sizeof(*c->events));
        c->n_events -= c->n_done;
        c->n_done = 0;
    }
}

/* What each thread is at: it goes on where it is worked off again. */
static void digest_present(struct calls *c, const struct profile *p, size_t named)
{
    for (size_t i = 0; i < c->n_threads && c->frames && !c->n_events; i++) {
        c->turn = c->turn + 1 < c->n_threads ? c->turn + 1 : 0;
        c->frames--;
        struct call_thread *t = &c->threads[c->turn];
        struct call_event e = {
            .thread = (uint32_t)c->turn, .tally = t->tally, .first = t->first, .last = t->last};
        bool goes_on = t->digested_last && t->digested == t->tally;
        if (!t->seen || (!goes_on && !is_named(p, t->tally, named)))
            continue;
        if (t->digested_last < t->last)
            digest(c, p, &e);
        end_gone(c, t, session_ticks(c->session));
    }
}

void calls_digest(struct calls *c, size_t named)
{
    const struct profile *p = session_counts(c->session);
    c->frames = FRAMES_PER_TURN;
    digest_events(c, p, named);
    digest_present(c, p, named);
}

void calls_digest_all(struct calls *c)
{
    const struct profile *p = session_counts(c->session);
    c->frames = SIZE_MAX;
    digest_events(c, p, p->n_frames);
    digest_present(c, p, p->n_frames);
}

void calls_interrupted(struct calls *c)
{
    c->dropped.stretches += c->n_events - c->n_done;
    c->n_done = c->n_events = 0;
    for (size_t i = 0; i < c->n_threads; i++) {
        for (size_t k = 0; k < c->threads[i].n_open; k++)
            c->rows[c->threads[i].open[k].function].calls++;
        c->threads[i] = (struct call_thread){.open = c->threads[i].open};
    }
}

void calls_reset(struct calls *c)
{
    calls_interrupted(c);
    c->dropped = (struct calls_dropped){0};
    for (size_t i = 0; i < c->n_rows; i++)
        c->rows[i] =
            (struct call_row){.function = c->rows[i].function, .module = c->rows[i].module};
}

/* --- tables */

static int by_calls(const void *va, const void *vb)
{
    const struct call_row *a = va, *b = vb;
    uint64_t n = a->calls + a->running, m = b->calls + b->running;
    return n != m ? (n < m) - (n > m) : (a->function > b->function) - (a->function < b->function);
}

struct call_row *calls_table(struct calls *c, size_t *ret_n, struct calls_dropped *ret_dropped)
{
    struct call_row *rows = mem_alloc(c->n_rows * sizeof(*rows) + 1);
    double interval = (double)session_counts(c->session)->interval_ns;
    size_t n = 0;
    if (c->n_rows)
        memcpy(rows, c->rows, c->n_rows * sizeof(*rows));
    for (size_t i = 0; i < c->n_threads; i++)
        for (size_t k = 0; k < c->threads[i].n_open; k++) {
            const struct open_call *call = &c->threads[i].open[k];
            double ns = ((double)c->threads[i].last + 0.5 - call->since) * interval;
            rows[call->function].running++;
            if (call->whole && ns > rows[call->function].longest_ns)
                rows[call->function].longest_ns = ns;
        }
    for (size_t i = 0; i < c->n_rows; i++)
        if (rows[i].calls || rows[i].running)
            rows[n++] = rows[i];
    qsort(rows, n, sizeof(*rows), by_calls);
    *ret_n = n;
    *ret_dropped = c->dropped;
    return rows;
}

static void csv_text(const struct profile *p, uint32_t string, FILE *out)
{
    const char *raw = intern_get(p->strings, string);
    size_t bytes = 4 * strlen(raw) + 1;
    char *text OX_FREE = mem_alloc(bytes);
    escape_text(text, bytes, raw, NULL);
    /* A spreadsheet takes what begins so for a formula. */
    bool formula = *text && strchr("=+-@", *text);
    fputs(formula ? "\"'" : "\"", out);
    for (const char *c = text; *c; c++)
        fputs(*c == '"' ? "\"\"" : (char[]){*c, 0}, out);
    putc('"', out);
}

bool calls_dropped_any(const struct calls_dropped *d)
{
    return d->stretches || d->functions || d->nested;
}

/* Empty where no whole call was seen: nothing is known then. */
static void csv_seconds(double ns, FILE *out)
{
    if (ns > 0)
        fprintf(out, "%.6f", ns / 1e9);
    putc(',', out);
}

static void csv_dropped(const char *what, uint64_t n, FILE *out)
{
    if (n)
        fprintf(out, ",,,,\"[not counted: %" PRIu64 " stretches %s]\",\"\"\r\n", n, what);
}

void calls_csv(const struct profile *p, const struct call_row *rows, size_t n,
               const struct calls_dropped *dropped, FILE *out)
{
    fputs("calls,mean_s,longest_s,running,function,module\r\n", out);
    for (size_t i = 0; i < n; i++) {
        const struct call_row *r = &rows[i];
        fprintf(out, "%" PRIu64 ",", r->calls);
        csv_seconds(r->whole ? r->sum_ns / (double)r->whole : 0, out);
        csv_seconds(r->longest_ns, out);
        fprintf(out, "%" PRIu64 ",", r->running);
        csv_text(p, r->function, out);
        putc(',', out);
        csv_text(p, r->module, out);
        fputs("\r\n", out);
    }
    csv_dropped("came too fast", dropped->stretches, out);
    csv_dropped("with functions past the most", dropped->functions, out);
    csv_dropped("with calls too deep in one another", dropped->nested, out);
}
