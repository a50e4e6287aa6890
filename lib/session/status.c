/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "session/state.h"

/* How a run goes: its time, pace and cost; and its counts anew. */

uint64_t status_sampled_ns(const struct session *s)
{
    if (!s->started || s->paused || s->finished)
        return s->sampled_ns;
    return s->sampled_ns + (clock_now_ns() - s->resumed_ns);
}

void status_tick(struct session *s, uint64_t now)
{
    if (s->ticked_ns) {
        double apart = (double)(now - s->ticked_ns), off = apart - s->pace.mean_ns;
        s->pace.mean_ns += off / (double)++s->pace.n;
        s->pace.squares += off * (apart - s->pace.mean_ns);
    }
    s->ticked_ns = now;
}

void session_title(const struct session *s, char *buf, size_t bytes)
{
    char comm[260];
    if (s->n_targets == 1) {
        escape_text(comm, sizeof(comm), s->targets[0]->process.comm, NULL);
        snprintf(buf, bytes, "pid %d (%s)", s->targets[0]->process.pid, comm);
        return;
    }
    size_t n = (size_t)snprintf(buf, bytes, "pids ");
    for (size_t i = 0; i < s->n_targets && i < 8 && n < bytes; i++)
        n += (size_t)snprintf(buf + n, bytes - n, "%s%d", i ? "," : "", s->targets[i]->process.pid);
    if (s->n_targets > 8 && n < bytes)
        snprintf(buf + n, bytes - n, " and %zu more", s->n_targets - 8);
}

/* Not getrusage(2): its figure is inherited from the program that started us. */
static uint64_t own_peak_bytes(void)
{
    static const char field[] = "VmHWM:";
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && !kib && fgets(line, sizeof(line), f))
        if (!strncmp(line, field, strlen(field)))
            kib = strtoull(line + strlen(field), NULL, 10);
    if (f)
        fclose(f);
    return kib * 1024;
}

static uint64_t own_cpu_ns(const struct session *s)
{
    uint64_t ns = clock_own_cpu_ns();
    if (getpid() != s->own_pid) /* a child that only writes the report: its clock began anew */
        ns += s->own_cpu_end_ns;
    return ns - s->own_cpu_start_ns;
}

static uint64_t target_cpu_ns(const struct session *s)
{
    uint64_t ns = s->ended_cpu_ns;
    for (size_t i = 0; i < s->n_targets; i++)
        for (size_t k = 0; s->targets[i]->live && k < s->targets[i]->threads.n; k++) {
            const struct watch *w = s->targets[i]->threads.items[k]->watch;
            ns += w ? w->run.run_ns - w->run_first_ns : 0;
        }
    return ns;
}

/* Since the beginning, but for the longest stop. */
static struct profile_cost cost_ever(const struct session *s)
{
    uint64_t namer_cpu_ns, namer_peak_bytes, peak_bytes = own_peak_bytes();
    namer_cost(s->namer, &namer_cpu_ns, &namer_peak_bytes);
    return (struct profile_cost){
        .stops = s->stopper.count,
        .perf_samples = s->perf_samples,
        .looks = s->opt.max_overhead_ppm ? s->looks - s->before.looks : 0,
        .max_overhead_ppm = s->opt.max_overhead_ppm,
        .perf_refused = s->opt.capture == CAPTURE_AUTO && (s->perf_refused || s->perf_refused_some),
        .stop_ns_sum = s->stopper.ns_sum,
        .stop_ns_max = s->stopper.ns_max,
        .calls_disturbed = s->stopper.disturbed,
        .calls_repaired = s->stopper.repaired,
        .target_cpu_ns = target_cpu_ns(s),
        .profiler_cpu_ns = own_cpu_ns(s) + namer_cpu_ns,
        .profiler_peak_bytes = peak_bytes > namer_peak_bytes ? peak_bytes : namer_peak_bytes,
    };
}

void status_cost(const struct session *s, struct profile_cost *ret)
{
    const struct profile_cost *before = &s->before.cost;
    *ret = cost_ever(s);
    ret->stops -= before->stops;
    ret->perf_samples -= before->perf_samples;
    ret->stop_ns_sum -= before->stop_ns_sum;
    ret->calls_disturbed -= before->calls_disturbed;
    ret->calls_repaired -= before->calls_repaired;
    ret->target_cpu_ns -= before->target_cpu_ns;
    ret->profiler_cpu_ns -= before->profiler_cpu_ns;
}

void session_reset(struct session *s)
{
    if (!s->paused && !s->finished)
        ticks_settle(s);
    for (unsigned i = 0; i < LOSS_N; i++)
        s->before.lost[i] += s->profile->lost[i];
    s->before.tick = s->tick;
    s->before.looks = s->looks;
    s->before.sampled_ns = status_sampled_ns(s);
    s->before.cost = cost_ever(s);
    s->stopper.ns_max = 0;
    memset(&s->pace, 0, sizeof(s->pace));
    s->ticked_ns = 0;
    s->samples = 0;
    atomic_store_explicit(&s->guardian->page->samples, 0, memory_order_relaxed);
    profile_reset(s->profile);
}

void session_status(const struct session *s, struct session_status *ret)
{
    const struct profile *p = s->profile;
    double squares = s->pace.n > 1 ? s->pace.squares / (double)(s->pace.n - 1) : 0;
    *ret = (struct session_status){
        .interval_ns = s->opt.interval_ns,
        .achieved_mean_ns = s->pace.mean_ns,
        .achieved_deviation_ns = sqrt(squares),
        .samples = s->samples,
        .ticks = p->ticks,
        .ticks_missed = p->ticks_missed,
        .sampled_ns = status_sampled_ns(s) - s->before.sampled_ns,
        .truncated = p->truncated,
        .stops_ever = s->stopper.histogram,
        .cpu_ns_ever = own_cpu_ns(s),
        .threads = s->n_watches,
        .paused = s->paused,
        .finished = s->finished,
        .stopping = session_stopping(s),
    };
    status_cost(s, &ret->cost);
    memcpy(ret->lost, p->lost, sizeof(ret->lost));
    memcpy(ret->samples_ever, s->samples_ever, sizeof(ret->samples_ever));
    for (unsigned i = 0; i < LOSS_N; i++)
        ret->lost_ever[i] = s->before.lost[i] + p->lost[i];
    for (size_t i = 0; i < s->n_targets; i++)
        ret->processes += s->targets[i]->live;
}

void session_follow(struct session *s, void (*hit)(void *arg, uint32_t tally, uint64_t hits),
                    void *arg)
{
    if (s->n_followers == FOLLOWERS_MAX)
        die("too many follow the session");
    s->followers[s->n_followers].hit = hit;
    s->followers[s->n_followers++].arg = arg;
}

size_t session_name_new(struct session *s, size_t most, bool *ret_jit_renamed)
{
    *ret_jit_renamed = naming_new(s, most);
    return s->frames_named;
}

const struct profile *session_counts(const struct session *s)
{
    return s->profile;
}
