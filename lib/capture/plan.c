/* SPDX-License-Identifier: MIT */
#include "capture/plan.h"

#include <string.h>

/* Records lie near each other, more often than not: 16 KiB in one read cost less than two pages in
 * two. */
enum {
    PAGE_BYTES = 4096,
    NEIGHBOURS_BYTES = 16384,
    REGIONS_KNOWN = 8,
    FEW_PIECES = 3,
    REFS_KNOWN = 32
};

struct copier {
    const struct copy_plan *plan;
    const struct process *process;
    struct snapshot *snap;
    uint8_t *buf;
    size_t used;
    uint64_t block; /* of what is copied around a record: a page at first */
    struct region {
        uint64_t start, end;
    } regions[REGIONS_KNOWN]; /* that were asked for, and may be read */
    size_t n_regions;
    uint64_t refs[REFS_KNOWN]; /* that were followed last: a recursion's are all one */
    size_t n_refs;
};

bool plan_may_read(const struct memory_region *region, uint64_t file_dev, uint64_t file_ino)
{
    bool of_file = region->ino == file_ino && region->dev == file_dev && !region->shared;
    return region->readable && (!region->ino || of_file);
}

/* Asked anew in each stop: see asleep_copy_stack(). NULL: must not be read. */
static const struct region *region_of(struct copier *c, uint64_t addr)
{
    struct memory_region region;
    for (size_t i = 0; i < REGIONS_KNOWN; i++)
        if (addr >= c->regions[i].start && addr < c->regions[i].end)
            return &c->regions[i];
    if (process_query_region(c->process, addr, &region) < 0 ||
        !plan_may_read(&region, c->plan->file_dev, c->plan->file_ino))
        return NULL;
    struct region *known = &c->regions[c->n_regions++ % REGIONS_KNOWN];
    *known = (struct region){.start = region.start, .end = region.end};
    return known;
}

static bool copy_range(struct copier *c, uint64_t addr, uint64_t end)
{
    struct snapshot *s = c->snap;
    const struct region *region = region_of(c, addr);
    if (!region)
        return false;
    if (end > region->end)
        end = region->end;
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

/* What lies around it, in whole blocks of so many bytes, as far as it may be read. */
static bool copy_around(struct copier *c, uint64_t addr, size_t bytes, uint64_t block)
{
    uint64_t first = addr & ~(block - 1), end = (addr + bytes + block - 1) & ~(block - 1);
    const struct region *region = addr > UINT64_MAX - block - bytes ? NULL : region_of(c, addr);
    return region && copy_range(c, first < region->start ? region->start : first, end);
}

static bool find_or_copy(struct copier *c, void *dst, size_t bytes, uint64_t addr, uint64_t block)
{
    return plan_find(c->snap, dst, bytes, addr) ||
           (copy_around(c, addr, bytes, block) && plan_find(c->snap, dst, bytes, addr));
}

static bool followed_before(struct copier *c, uint64_t ref)
{
    for (size_t i = 0; i < REFS_KNOWN; i++)
        if (c->refs[i] == ref)
            return true;
    c->refs[c->n_refs++ % REFS_KNOWN] = ref;
    return false;
}

static void copy_refs(struct copier *c, const uint8_t *record)
{
    const struct copy_refs *refs = c->plan->refs;
    uint8_t object[COPY_OBJECT_MAX_BYTES], part[COPY_OBJECT_MAX_BYTES];
    uint64_t addr, part_addr;
    memcpy(&addr, record + refs->ref_off, sizeof(addr));
    addr &= ~UINT64_C(7);
    if (!addr || followed_before(c, addr) ||
        !find_or_copy(c, object, refs->object_bytes, addr, PAGE_BYTES))
        return;
    for (size_t i = 0; i < COPY_PARTS_MAX; i++) {
        memcpy(&part_addr, object + refs->part_offs[i], sizeof(part_addr));
        if (part_addr && !followed_before(c, part_addr))
            find_or_copy(c, part, refs->part_bytes, part_addr, PAGE_BYTES);
    }
}

static bool is_full(const struct snapshot *s)
{
    return s->n_pieces == SNAPSHOT_PIECES_MAX;
}

/* follow: all records are there, what they refer to is copied. */
static void copy_chain(struct copier *c, const struct copy_chain *chain, bool follow)
{
    uint8_t record[COPY_RECORD_MAX_BYTES];
    uint64_t at;
    if (!find_or_copy(c, &at, sizeof(at), chain->head_addr, PAGE_BYTES))
        return;
    if (chain->hop != COPY_NO_HOP && at &&
        !find_or_copy(c, &at, sizeof(at), at + chain->hop, PAGE_BYTES))
        return;
    for (size_t i = 0; at; i++) {
        if (i == COPY_RECORDS_MAX)
            c->snap->pieces_cut = true;
        /* a full snapshot takes no more: the thread need not wait for our look at the rest */
        if (i == COPY_RECORDS_MAX || (c->snap->pieces_cut && is_full(c->snap)) ||
            !find_or_copy(c, record, chain->record_bytes, at, c->block))
            return;
        if (follow)
            copy_refs(c, record);
        memcpy(&at, record + chain->next_off, sizeof(at));
        c->block = c->snap->n_pieces < FEW_PIECES ? PAGE_BYTES : NEIGHBOURS_BYTES;
    }
}

void plan_copy(const struct copy_plan *plan, const struct process *p, uint8_t *buf,
               struct snapshot *snap)
{
    struct copier c = {.plan = plan, .process = p, .snap = snap, .buf = buf, .block = PAGE_BYTES};
    snap->n_pieces = 0;
    snap->pieces_cut = false;
    snap->refs_copied = plan && plan->refs && plan->refs->wanted;
    if (!plan)
        return;
    for (size_t i = 0; i < plan->n_ranges; i++)
        copy_range(&c, plan->ranges[i].addr, plan->ranges[i].addr + plan->ranges[i].bytes);
    for (size_t i = 0; i < plan->n_chains; i++)
        copy_chain(&c, &plan->chains[i], false);
    for (size_t i = 0; snap->refs_copied && i < plan->n_chains; i++)
        if (plan->chains[i].has_refs)
            copy_chain(&c, &plan->chains[i], true);
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
