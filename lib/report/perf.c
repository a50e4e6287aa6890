/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "report/stack.h"

/*
 * What `perf script` prints: an event for each sample, since most readers count events, each with a
 * period of 1, since the others add up periods. All under one event's name: stackcollapse-perf.pl
 * takes only the first that it meets.
 */
struct perf {
    const struct profile *p;
    const struct report_options *opt;
    FILE *out;
    struct tabulation tab;
    char *stack; /* owned; the text of the one at work, as open_memstream() gives it */
    size_t stack_bytes;
};

/* Readers end a module at a blank or bracket, a command at a blank. Takes the text. */
static char *in_one_word(char *text)
{
    for (char *s = text; *s; s++)
        if (*s == ' ' || *s == '(' || *s == ')')
            *s = '_';
    return text;
}

/* Square brackets would make a kernel function of it; "[unknown]" does not. */
static char *module_of(const struct perf *f, const struct profile_frame *frame, uint32_t line)
{
    const struct profile_module *m = &f->p->modules[frame->module];
    uint32_t file = f->p->lines[line].file;
    if (frame->kind == KIND_KERNEL)
        return mem_strdup("[kernel.kallsyms]");
    char *text = report_escaped(f->p, frame->kind == KIND_PYTHON ? file : m->path, NULL);
    for (char *s = text; *s; s++)
        *s = *s == '[' || *s == ']' ? '_' : *s;
    if (*text)
        return in_one_word(text);
    free(text);
    return mem_strdup(frame->kind == KIND_JIT ? "/tmp/perf.map" : "[unknown]");
}

static void put_frame(struct perf *f, FILE *out, const struct profile_frame *frame, uint32_t line,
                      bool inlined)
{
    struct report_row row = report_row_of(f->p, f->opt, frame, line);
    OX_FREE char *name = report_function_label(f->p, f->opt, &row);
    OX_FREE char *module = inlined ? mem_strdup("inlined") : module_of(f, frame, line);
    fprintf(out, "\t%16" PRIx64 " %s+0x0 (%s)\n", frame->address, name, module);
}

static void make_stack(struct perf *f, uint32_t node)
{
    free(f->stack);
    FILE *out = open_memstream(&f->stack, &f->stack_bytes);
    if (!out)
        die("out of memory");
    do {
        const struct profile_frame *frame = &f->p->frames[f->p->nodes[node].frame];
        struct shown_lines shown = report_lines(f->p, f->opt, f->p->nodes[node].frame);
        for (uint32_t line = shown.first; line < shown.end; line++)
            put_frame(f, out, frame, line, line + 1 < shown.end);
        node = f->p->nodes[node].parent;
    } while (node);
    fputc('\n', out);
    fclose(out);
}

static char *command_of(const struct profile *p, const struct profile_thread *t)
{
    char *name = in_one_word(report_escaped(p, t->name, NULL));
    if (*name && *name != '#')
        return name;
    free(name);
    return mem_printf(":%d", t->tid);
}

/* hits events, a tick apart; the first in tick `tick`. */
static void put_events(struct perf *f, const struct profile_thread *t, uint64_t tick, uint64_t hits)
{
    OX_FREE char *command = command_of(f->p, t);
    OX_FREE char *head = mem_printf("%-16s %d/%d [000] ", command, t->pid, t->tid);
    size_t head_bytes = strlen(head);
    uint64_t interval_ns = f->p->interval_ns ? f->p->interval_ns : OX_NS_PER_S / 100;
    for (uint64_t i = 0; i < hits && !ferror(f->out); i++) {
        char time[64];
        uint64_t us = (tick + i) * (interval_ns / 1000);
        int n = snprintf(time, sizeof(time), "%5" PRIu64 ".%06" PRIu64 ":          1 cpu-clock: \n",
                         us / 1000000, us % 1000000);
        fwrite_unlocked(head, 1, head_bytes, f->out);
        fwrite_unlocked(time, 1, (size_t)n, f->out);
        fwrite_unlocked(f->stack, 1, f->stack_bytes, f->out);
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
    tabulation_init(&f.tab, p, opt);
    for (size_t i = 0; i < f.tab.n_threads; i++)
        put_tallies(&f, f.tab.threads[i].thread);
    free(f.stack);
    tabulation_release(&f.tab);
    return report_finish(out);
}
