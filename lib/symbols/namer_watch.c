/* SPDX-License-Identifier: MIT */
#include "symbols/namer_watch.h"

#include "base/clock.h"

enum { NS_PER_MS = 1000 * 1000 };

void namer_watch_progress(struct namer_watch *w)
{
    w->waited_ns = w->downloads_ns = w->silent_ns = 0;
    w->looked_ns = clock_now_ns();
}

static bool is_downloading(const struct namer_options *opt, const struct namer_process *p)
{
    return opt->symbols.debuginfod && atomic_load(&p->page->heartbeat.downloads);
}

/* Adds to *waited_ns, too. */
static void count_time(struct namer_watch *w, const struct namer_process *p, uint64_t *waited_ns)
{
    uint64_t now = clock_now_ns(), past = now - w->looked_ns;
    uint64_t look_ns = (uint64_t)NAMER_LOOK_MS * NS_PER_MS;
    uint64_t beats = atomic_load(&p->page->heartbeat.beats);
    if (beats != w->beats || !w->silent_ns) {
        w->silent_ns = 0;
        w->cpu_then_ns = namer_process_cpu_ns(p);
    }
    w->beats = beats;
    w->looked_ns = now;
    w->silent_ns += past < look_ns ? past : look_ns;
    *waited_ns += past < look_ns ? past : look_ns;
}

/* It has been given hardly any CPU since it fell silent. */
static bool is_starved(const struct namer_watch *w, const struct namer_process *p,
                       uint64_t patience)
{
    return namer_process_runs(p) && namer_process_cpu_ns(p) - w->cpu_then_ns < patience / 2;
}

uint64_t namer_watch_look(struct namer_watch *w, const struct namer_options *opt,
                          const struct namer_process *p)
{
    bool downloading = is_downloading(opt, p);
    uint64_t ms = opt->patience_ms, *waited_ns = downloading ? &w->downloads_ns : &w->waited_ns;
    if (downloading && ms < NAMER_DOWNLOAD_MS)
        ms = NAMER_DOWNLOAD_MS;
    uint64_t patience = ms * NS_PER_MS, slow = NAMER_SLOW_TIMES * patience;
    count_time(w, p, waited_ns);
    if (*waited_ns >= slow)
        return slow;
    return w->silent_ns >= patience && !is_starved(w, p, patience) ? patience : 0;
}
