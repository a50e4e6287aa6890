/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/table.h"

/* What a stack has in it. */
enum mark { MARK_FOCUS = 1, MARK_IGNORE = 2 };

static bool matches(const struct profile *p, const regex_t *re, const struct profile_frame *f,
                    const struct profile_line *l)
{
    const uint32_t texts[] = {l->function, p->modules[f->module].path, l->file};
    for (size_t i = 0; re && i < sizeof(texts) / sizeof(*texts); i++)
        if (texts[i] && regexec(re, intern_get(p->strings, texts[i]), 0, NULL, 0) == 0)
            return true;
    return false;
}

static uint8_t marks_of(const struct profile *p, const struct report_options *opt, uint32_t frame)
{
    struct shown_lines shown = report_lines(p, opt, frame);
    unsigned marks = 0;
    for (uint32_t i = shown.first; i < shown.end; i++) {
        marks |= matches(p, opt->focus, &p->frames[frame], &p->lines[i]) ? MARK_FOCUS : 0;
        marks |= matches(p, opt->ignore, &p->frames[frame], &p->lines[i]) ? MARK_IGNORE : 0;
    }
    return (uint8_t)marks;
}

/* By node: what its stack has in it. A parent comes before its children. */
static uint8_t *mark_stacks(const struct profile *p, const struct report_options *opt)
{
    OX_FREE uint8_t *frames = mem_alloc(p->n_frames);
    OX_FREE uint8_t *nodes = mem_alloc(p->n_nodes);
    for (uint32_t i = 0; i < p->n_frames; i++)
        frames[i] = marks_of(p, opt, i);
    nodes[0] = frames[PROFILE_NO_FRAME];
    for (uint32_t i = 1; i < p->n_nodes; i++) {
        uint32_t parent = p->nodes[i].parent;
        nodes[i] = frames[p->nodes[i].frame] | (parent ? nodes[parent] : 0);
    }
    return OX_TAKE(nodes);
}

void report_view_init(struct profile *ret_view, const struct profile *p,
                      const struct report_options *opt)
{
    *ret_view = *p;
    ret_view->tallies = mem_alloc(p->n_tallies * sizeof(*p->tallies));
    if (p->n_tallies)
        memcpy(ret_view->tallies, p->tallies, p->n_tallies * sizeof(*p->tallies));
    if (!opt->focus && !opt->ignore)
        return;
    OX_FREE uint8_t *marks = mark_stacks(p, opt);
    for (size_t i = 0; i < p->n_tallies; i++) {
        struct profile_tally *t = &ret_view->tallies[i];
        bool shown =
            (!opt->focus || (marks[t->node] & MARK_FOCUS)) && !(marks[t->node] & MARK_IGNORE);
        if (shown)
            continue;
        ret_view->hidden += t->hits;
        t->hits = 0;
    }
}

void report_view_release(struct profile *view)
{
    if (!view)
        return;
    free(view->tallies);
    *view = (struct profile){0};
}
