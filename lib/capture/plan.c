/* SPDX-License-Identifier: MIT */
#include "capture/plan.h"

#include <string.h>

enum { PAGE_BYTES = 4096 };

struct copier {
    const struct copy_plan *plan;
    const struct process *process;
    struct snapshot *snap;
    uint8_t *buf;
    size_t used;
    uint64_t start, end; /* of the memory that was last asked for, and may be read */
};

/* Asked anew in each stop: see asleep_copy_stack(). */
static bool may_read(struct copier *c, uint64_t addr)
{
    struct memory_region region;
    if (addr >= c->start && addr < c->end)
        return true;
    if (process_query_region(c->process, addr, &region) < 0 || !region.readable)
        return false;
    bool of_file = region.ino && region.ino == c->plan->file_ino &&
                   region.dev == c->plan->file_dev && !region.shared;
    if (region.ino && !of_file)
        return false;
    c->start = region.start;
    c->end = region.end;
    return true;
}

static bool copy_range(struct copier *c, uint64_t addr, uint64_t end)
{
    struct snapshot *s = c->snap;
    if (!may_read(c, addr))
        return false;
    if (end > c->end)
        end = c->end;
    size_t bytes = end - addr;
    if (s->n_pieces == SNAPSHOT_PIECES_MAX || bytes > SNAPSHOT_PIECES_BYTES - c->used) {
        s->pieces_cut = true;
        return false;
    }
    uint8_t *data = c->buf + c->used;
    ssize_t got = process_read(c->process, data, bytes, addr);
    if (got <= 0)
        return false;
    s->pieces[s->n_pieces++] =
        (struct snapshot_piece){.addr = addr, .bytes = (size_t)got, .data = data};
    c->used += (size_t)got;
    return true;
}

/* The pages that hold it, as far as they may be read. */
static bool copy_pages(struct copier *c, uint64_t addr, size_t bytes)
{
    uint64_t first = addr & ~(uint64_t)(PAGE_BYTES - 1);
    uint64_t end = (addr + bytes + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
    if (addr > UINT64_MAX - PAGE_BYTES - bytes || !may_read(c, addr))
        return false;
    return copy_range(c, first < c->start ? c->start : first, end);
}

static bool find_or_copy(struct copier *c, void *dst, size_t bytes, uint64_t addr)
{
    return plan_find(c->snap, dst, bytes, addr) ||
           (copy_pages(c, addr, bytes) && plan_find(c->snap, dst, bytes, addr));
}

static void copy_chain(struct copier *c, const struct copy_chain *chain)
{
    uint8_t record[COPY_RECORD_MAX_BYTES];
    uint64_t at;
    if (!find_or_copy(c, &at, sizeof(at), chain->head_addr))
        return;
    if (chain->hop != COPY_NO_HOP && at && !find_or_copy(c, &at, sizeof(at), at + chain->hop))
        return;
    for (size_t i = 0; at && i < COPY_RECORDS_MAX; i++) {
        if (!find_or_copy(c, record, chain->record_bytes, at))
            return;
        memcpy(&at, record + chain->next_off, sizeof(at));
    }
}

void plan_copy(const struct copy_plan *plan, const struct process *p, uint8_t *buf,
               struct snapshot *snap)
{
    struct copier c = {.plan = plan, .process = p, .snap = snap, .buf = buf};
    snap->n_pieces = 0;
    snap->pieces_cut = false;
    for (size_t i = 0; i < plan->n_ranges; i++)
        copy_range(&c, plan->ranges[i].addr, plan->ranges[i].addr + plan->ranges[i].bytes);
    for (size_t i = 0; i < plan->n_chains; i++)
        copy_chain(&c, &plan->chains[i]);
}

static bool holds(uint64_t start, size_t held, size_t bytes, uint64_t addr)
{
    return addr >= start && addr - start <= held && bytes <= held - (addr - start);
}

bool plan_find(const struct snapshot *snap, void *dst, size_t bytes, uint64_t addr)
{
    for (size_t i = snap->n_pieces; i-- > 0;) {
        const struct snapshot_piece *p = &snap->pieces[i];
        if (holds(p->addr, p->bytes, bytes, addr)) {
            memcpy(dst, p->data + (addr - p->addr), bytes);
            return true;
        }
    }
    if (!holds(snap->stack_addr, snap->stack_bytes, bytes, addr))
        return false;
    memcpy(dst, snap->stack + (addr - snap->stack_addr), bytes);
    return true;
}
