/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "report/number.h"
#include "report/text_lines.h"

static void put_target(struct text *t)
{
    const struct profile *p = t->tab.p;
    OX_FREE char *title = report_escaped(p, p->title, NULL);
    OX_FREE char *mode = report_escaped(p, p->mode, NULL);
    text_put(t, "# oxprof %s: %s, ", t->opt->version, title);
    text_put_count(t, p->threads_seen, "thread");
    text_put(t, ", %s, %s Hz, %s s", mode,
             number_significant(1, p->interval_ns ? OX_NS_PER_S : 0, p->interval_ns, 4).text,
             number_fixed(1, p->duration_ns, OX_NS_PER_S, 2).text);
    text_end_line(t);
}

static void put_losses(struct text *t)
{
    const struct profile *p = t->tab.p;
    uint64_t sum = 0;
    for (unsigned i = 0; i < LOSS_N; i++)
        sum += p->lost[i];
    text_put(t, "; %" PRIu64 " lost", sum);
    const char *before = " (";
    for (unsigned i = 0; i < LOSS_N; i++) {
        if (!p->lost[i])
            continue;
        text_put(t, "%s%" PRIu64 " %s", before, p->lost[i], loss_name((enum loss)i));
        before = ", ";
    }
    if (sum)
        text_put(t, ")");
}

static void put_limits_hit(struct text *t)
{
    const struct profile *p = t->tab.p;
    uint64_t names = intern_overflowed(p->strings) + p->names_folded;
    if (p->ticks_missed)
        text_put(t, "; %" PRIu64 " of %" PRIu64 " ticks missed", p->ticks_missed, p->ticks);
    if (p->folded)
        text_put(t, "; %" PRIu64 " folded into their callers (memory limit)", p->folded);
    if (p->unattributed)
        text_put(t, "; %" PRIu64 " under thread [other] (memory limit)", p->unattributed);
    if (p->modules_folded)
        text_put(t, "; %" PRIu64 " mappings under module [other] (memory limit)",
                 p->modules_folded);
    if (p->mappings_cut)
        text_put(t, "; %" PRIu64 " times a mapping was left out (memory limit)", p->mappings_cut);
    if (p->cfi_cut)
        text_put(t, "; %" PRIu64 " modules' unwind information cut (memory limit)", p->cfi_cut);
    if (p->tables_cut)
        text_put(t, "; %" PRIu64 " symbol tables cut (memory limit)", p->tables_cut);
    if (p->lines_cut)
        text_put(t, "; %" PRIu64 " places without source lines (memory limit)", p->lines_cut);
    if (p->jit_lines_skipped) {
        text_put(t, "; ");
        text_put_count(t, p->jit_lines_skipped, "line");
        text_put(t, " of a JIT's map skipped");
    }
    if (names)
        text_put(t, "; %" PRIu64 " times a name reads [other] (memory limit)", names);
}

static void put_python(struct text *t)
{
    const struct profile *p = t->tab.p;
    if (p->python_torn) {
        text_put(t, "; ");
        text_put_count(t, p->python_torn, "Python stack");
        text_put(t, " torn");
    }
    if (p->python_mismatches) {
        text_put(t, "; ");
        text_put_count(t, p->python_mismatches, "Python stack");
        text_put(t, " without %s place", p->python_mismatches == 1 ? "its" : "their");
    }
}

static void put_samples(struct text *t)
{
    const struct profile *p = t->tab.p;
    uint64_t cpu = t->samples[PROFILE_CPU], wait = t->samples[PROFILE_WAIT];
    text_put(t, "# ");
    text_put_count(t, cpu + wait, "sample");
    text_put(t, ": %" PRIu64 " on CPU (%s CPUs busy)", cpu,
             number_fixed(p->interval_ns, cpu, p->duration_ns, 2).text);
    if (text_has_block(t, PROFILE_WAIT))
        text_put(t, ", %" PRIu64 " waiting", wait);
    if (p->hidden)
        text_put(t, ", %" PRIu64 " not shown (--focus, --ignore)", p->hidden);
    put_losses(t);
    text_put(t, "; ");
    text_put_count(t, p->truncated, "stack");
    text_put(t, " truncated");
    if (p->given_up)
        text_put(t, " (%" PRIu64 " took too much to unwind)", p->given_up);
    put_python(t);
    put_limits_hit(t);
    text_end_line(t);
}

static void put_cost(struct text *t)
{
    const struct profile_cost *c = &t->tab.p->cost;
    text_put(t, "# cost: ");
    text_put_count(t, c->stops, "stop");
    text_put(t, ", %s us mean, %s us max, %s%% of the target's running time; ",
             number_significant(1, c->stop_ns_sum, c->stops * 1000, 2).text,
             number_significant(1, c->stop_ns_max, 1000, 2).text,
             number_significant(100, c->stop_ns_sum, c->target_cpu_ns, 2).text);
    if (c->perf_samples) {
        text_put_count(t, c->perf_samples, "perf sample");
        text_put(t, "; ");
    }
    if (c->perf_refused)
        text_put(t, "perf_event refused; ");
    text_put_count(t, c->calls_disturbed, "system call");
    text_put(t, " disturbed");
    if (c->calls_repaired)
        text_put(t, ", %" PRIu64 " put back", c->calls_repaired);
    text_put(t, "; oxprof %s%% of a CPU, %s MiB",
             number_significant(100, c->profiler_cpu_ns, t->tab.p->duration_ns, 2).text,
             number_significant(1, c->profiler_peak_bytes, 1 << 20, 2).text);
    if (c->max_overhead_ppm)
        text_put(t, "; %s looks a second (--max-overhead %s%%)",
                 number_significant(OX_NS_PER_S, c->looks, t->tab.p->duration_ns, 3).text,
                 number_significant(1, c->max_overhead_ppm, 10000, 3).text);
    text_end_line(t);
}

void text_put_head(struct text *t)
{
    put_target(t);
    put_samples(t);
    put_cost(t);
}
