/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "report/stack.h"

/*
 * What `perf script` prints: an event for each sample, each with a period of 1, since readers
 * differ in what they weigh an event by: stackcollapse-perf.pl adds up periods, the Firefox
 * Profiler counts events, speedscope (1.25) takes the time up to the next one. Only so do all find
 * the same. All under one event's name: stackcollapse-perf.pl takes only the first that it meets.
 */
enum { BLOCK_BYTES = 1 << 18 };

struct perf {
    const struct profile *p;
    const struct report_options *opt;
    FILE *out;
    struct tabulation tab;
    char **frames; /* owned; by frame: its lines, NULL until they are needed */
    char *stack;   /* owned; the text of the one at work */
    size_t stack_bytes, stack_cap;
    char *block; /* owned; its event, as often as fits */
    size_t block_cap;
};

/* Readers end a module at a blank or bracket, a command at a blank. Takes the text. */
static char *in_one_word(char *text)
{
    for (char *s = text; *s; s++)
        if (*s == ' ' || *s == '(' || *s == ')')
            *s = '_';
    return text;
}

/* perf's name for the kernel itself, "[ext4]" for a loadable module. */
static char *kernel_module(const struct perf *f, uint32_t name)
{
    char *text = in_one_word(report_escaped(f->p, name, NULL));
    if (text[0] == '[' && strcmp(text, "[kernel]"))
        return text;
    free(text);
    return mem_strdup("[kernel.kallsyms]");
}

/* Square brackets would make a kernel function of it; "[unknown]" does not. */
static char *module_of(const struct perf *f, const struct profile_frame *frame, uint32_t line)
{
    const struct profile_module *m = &f->p->modules[frame->module];
    uint32_t file = f->p->lines[line].file;
    if (frame->kind == KIND_KERNEL)
        return kernel_module(f, m->name);
    char *text = report_escaped(f->p, frame->kind == KIND_PYTHON ? file : m->path, NULL);
    for (char *s = text; *s; s++)
        *s = *s == '[' || *s == ']' ? '_' : *s;
    if (*text)
        return in_one_word(text);
    free(text);
    return mem_strdup(frame->kind == KIND_JIT ? "/tmp/perf.map" : "[unknown]");
}

static char *line_text(const struct perf *f, const struct profile_frame *frame, uint32_t line,
                       bool inlined)
{
    struct report_row row = report_row_of(f->p, f->opt, frame, line);
    OX_FREE char *name = report_function_label(f->p, f->opt, &row);
    OX_FREE char *module = inlined ? mem_strdup("inlined") : module_of(f, frame, line);
    return mem_printf("\t%" PRIx64 " %s+0x0 (%s)\n", frame->address, name, module);
}

static const char *frame_text(struct perf *f, uint32_t number)
{
    const struct profile_frame *frame = &f->p->frames[number];
    struct shown_lines shown = report_lines(f->p, f->opt, number);
    if (f->frames[number])
        return f->frames[number];
    char *text = mem_strdup("");
    for (uint32_t line = shown.first; line < shown.end; line++) {
        OX_FREE char *before = text, *more = line_text(f, frame, line, line + 1 < shown.end);
        text = mem_printf("%s%s", before, more);
    }
    return f->frames[number] = text;
}

static void add_text(struct perf *f, const char *text)
{
    size_t bytes = strlen(text);
    f->stack = mem_grow(f->stack, &f->stack_cap, f->stack_bytes + bytes, 1);
    memcpy(f->stack + f->stack_bytes, text, bytes);
    f->stack_bytes += bytes;
}

static void make_stack(struct perf *f, uint32_t node)
{
    f->stack_bytes = 0;
    do {
        add_text(f, frame_text(f, f->p->nodes[node].frame));
        node = f->p->nodes[node].parent;
    } while (node);
    add_text(f, "\n");
}

static char *command_of(const struct profile *p, const struct profile_thread *t)
{
    char *name = in_one_word(report_escaped(p, t->name, NULL));
    if (*name && *name != '#')
        return name;
    free(name);
    return mem_printf(":%d", t->tid);
}

/* Readers tell threads apart by their numbers. No thread has one so high (PID_MAX_LIMIT). */
static int number_of(const struct perf *f, const struct profile_thread *t)
{
    return t->tid ? t->tid : INT32_MAX - (int)(t - f->p->threads);
}

/* An event's text; its time stands in a field that all events of a block have in common. */
struct event {
    size_t bytes, time_at, time_bytes;
};

static uint64_t time_us(const struct perf *f, uint64_t tick)
{
    return tick * ((f->p->interval_ns ? f->p->interval_ns : OX_NS_PER_S / 100) / 1000);
}

static void put_time(const struct perf *f, const struct event *e, size_t copy, uint64_t tick)
{
    char *at = f->block + copy * e->bytes + e->time_at + e->time_bytes;
    uint64_t us = time_us(f, tick);
    for (size_t i = 0; i < e->time_bytes; i++) {
        bool blank = i > 7 && !us;
        *--at = (char)(i == 6 ? '.' : blank ? ' ' : '0' + us % 10);
        us = i == 6 ? us : us / 10;
    }
}

/* The event as often as fits into the block: then only times are to be written. */
static struct event fill_block(struct perf *f, const struct profile_thread *t, uint64_t last_tick,
                               size_t *ret_copies)
{
    OX_FREE char *command = command_of(f->p, t);
    OX_FREE char *time = mem_printf("%5" PRIu64 ".000000", time_us(f, last_tick) / 1000000);
    OX_FREE char *before = mem_printf("%-16s %d/%d [000] ", command, t->pid, number_of(f, t));
    OX_FREE char *head = mem_printf("%s%s:          1 cpu-clock: \n", before, time);
    struct event e = {.bytes = strlen(head) + f->stack_bytes,
                      .time_at = strlen(before),
                      .time_bytes = strlen(time)};
    size_t fit = BLOCK_BYTES / e.bytes;
    *ret_copies = fit < 1 ? 1 : *ret_copies < fit ? *ret_copies : fit;
    f->block = mem_grow(f->block, &f->block_cap, *ret_copies * e.bytes, 1);
    for (size_t i = 0; i < *ret_copies; i++) {
        memcpy(f->block + i * e.bytes, head, strlen(head));
        memcpy(f->block + i * e.bytes + strlen(head), f->stack, f->stack_bytes);
    }
    return e;
}

/* hits events, a tick apart; the first in tick `tick`. */
static void put_events(struct perf *f, const struct profile_thread *t, uint64_t tick, uint64_t hits)
{
    size_t copies = hits;
    struct event e = fill_block(f, t, tick + hits - 1, &copies);
    while (hits && !ferror(f->out)) {
        size_t n = hits < copies ? hits : copies;
        for (size_t i = 0; i < n; i++)
            put_time(f, &e, i, tick + i);
        fwrite_unlocked(f->block, 1, n * e.bytes, f->out);
        tick += n;
        hits -= n;
    }
}

/* Each thread's samples come one after the other, from the beginning: the times say nothing else.
 */
static void put_tallies(struct perf *f, uint32_t thread)
{
    uint64_t tick = 1;
    for (size_t i = f->tab.group[thread]; i < f->tab.group[thread + 1]; i++) {
        const struct profile_tally *t = &f->p->tallies[f->tab.by_thread[i]];
        make_stack(f, t->node);
        put_events(f, &f->p->threads[thread], tick, t->hits);
        tick += t->hits;
    }
}

int report_perf(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct perf f = {.p = p, .opt = opt, .out = out};
    uint64_t samples = profile_samples(p, PROFILE_CPU), waiting = profile_samples(p, PROFILE_WAIT);
    if (samples > REPORT_PERF_EVENTS_MAX || waiting > REPORT_PERF_EVENTS_MAX - samples) {
        errno = EFBIG;
        return -EFBIG;
    }
    tabulation_init(&f.tab, p, opt);
    f.frames = mem_alloc(p->n_frames * sizeof(*f.frames));
    for (size_t i = 0; i < f.tab.n_threads; i++)
        put_tallies(&f, f.tab.threads[i].thread);
    for (size_t i = 0; i < p->n_frames; i++)
        free(f.frames[i]);
    free(f.frames);
    free(f.stack);
    free(f.block);
    tabulation_release(&f.tab);
    return report_finish(out);
}
