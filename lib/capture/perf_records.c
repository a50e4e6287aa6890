/* SPDX-License-Identifier: MIT */
#include "capture/perf_records.h"

#include <asm/perf_regs.h>
#include <linux/perf_event.h>
#include <string.h>

/* In the order of the bits of PERF_REGS_MASK, which is that of the record. */
static const enum dwarf_reg reg_order[] = {
    DWREG_RAX, DWREG_RBX, DWREG_RCX, DWREG_RDX, DWREG_RSI, DWREG_RDI,
    DWREG_RBP, DWREG_RSP, DWREG_RIP, DWREG_R8,  DWREG_R9,  DWREG_R10,
    DWREG_R11, DWREG_R12, DWREG_R13, DWREG_R14, DWREG_R15,
};
enum { REGS = sizeof(reg_order) / sizeof(*reg_order) };

/* The bytes of one record; past its end everything reads as zero, and `cut` is set. */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool cut;
};

static void copy_out(const struct perf_reader *r, uint64_t from, void *dst, size_t bytes)
{
    size_t at = (size_t)(from & (r->data_bytes - 1));
    size_t first = r->data_bytes - at < bytes ? r->data_bytes - at : bytes;
    memcpy(dst, r->data + at, first);
    memcpy((uint8_t *)dst + first, r->data, bytes - first);
}

static const uint8_t *take(struct cursor *c, uint64_t bytes)
{
    const uint8_t *at = c->at;
    if (bytes > c->left) {
        c->cut = true;
        c->left = 0;
        return NULL;
    }
    c->at += bytes;
    c->left -= (size_t)bytes;
    return at;
}

static uint64_t take_u64(struct cursor *c)
{
    uint64_t value = 0;
    const uint8_t *at = take(c, sizeof(value));
    if (at)
        memcpy(&value, at, sizeof(value));
    return value;
}

/*
 * Of a thread that was in the kernel these may not be known: what the kernel then says is -1
 * (perf_get_regs_user() in arch/x86/kernel/perf_regs.c).
 */
static bool may_be_unknown(enum dwarf_reg reg)
{
    return reg == DWREG_RBX || reg == DWREG_RBP || reg >= DWREG_R12;
}

static void take_regs(struct cursor *c, bool in_kernel, struct regs *ret)
{
    for (size_t i = 0; i < REGS; i++) {
        enum dwarf_reg reg = reg_order[i];
        ret->value[reg] = take_u64(c);
        if (!in_kernel || !may_be_unknown(reg) || ret->value[reg] != UINT64_MAX)
            ret->known |= 1u << reg;
    }
}

/* u64 size; char data[size]; u64 dyn_size: how much of it was copied. No more where size is 0. */
static void take_stack(struct cursor *c, struct snapshot *snap)
{
    uint64_t size = take_u64(c);
    const uint8_t *data = take(c, size);
    uint64_t copied = size ? take_u64(c) : 0;
    if (c->cut || copied > size)
        copied = 0;
    snap->stack = data;
    snap->stack_addr = snap->regs.value[DWREG_RSP];
    snap->stack_bytes = (size_t)copied & ~(size_t)7;
    snap->stack_cut = copied && copied == size;
}

/*
 * u64 nr; u64 ips[nr]: innermost first, and where another kind of code begins a number from
 * PERF_CONTEXT_MAX on that says of which it is.
 */
static size_t take_chain(struct cursor *c, uint64_t ret_kernel[SNAPSHOT_KERNEL_MAX])
{
    uint64_t left = take_u64(c), addr;
    bool kernel = false;
    size_t n = 0;
    for (; left && !c->cut; left--) {
        addr = take_u64(c);
        if (addr >= (uint64_t)PERF_CONTEXT_MAX)
            kernel = addr == (uint64_t)PERF_CONTEXT_KERNEL;
        else if (kernel && n < SNAPSHOT_KERNEL_MAX)
            ret_kernel[n++] = addr;
    }
    return n;
}

static enum perf_kind read_sample(struct cursor *c, bool in_kernel, struct perf_record *ret)
{
    struct snapshot *snap = &ret->snapshot;
    struct {
        uint32_t pid, tid;
    } id = {0};
    const uint8_t *at = take(c, sizeof(id));
    if (at)
        memcpy(&id, at, sizeof(id));
    *snap = (struct snapshot){.source = SOURCE_PERF, .syscall = -1};
    snap->pid = (pid_t)id.pid;
    snap->tid = (pid_t)id.tid;
    snap->taken_ns = take_u64(c);
    snap->kernel = ret->kernel;
    snap->n_kernel = take_chain(c, ret->kernel);
    uint64_t abi = take_u64(c);
    if (c->cut || abi != PERF_SAMPLE_REGS_ABI_64)
        return c->cut ? PERF_SPOILT : PERF_NO_REGS;
    take_regs(c, in_kernel, &snap->regs);
    take_stack(c, snap);
    return c->cut ? PERF_SPOILT : PERF_SAMPLED;
}

static enum perf_kind read_record(const struct perf_event_header *head, struct cursor *c,
                                  struct perf_record *ret)
{
    unsigned mode = head->misc & PERF_RECORD_MISC_CPUMODE_MASK;
    switch (head->type) {
    case PERF_RECORD_SAMPLE:
        return read_sample(c, mode != PERF_RECORD_MISC_USER, ret);
    case PERF_RECORD_LOST:
        take_u64(c); /* the event's id */
        ret->lost = take_u64(c);
        return c->cut ? PERF_SPOILT : PERF_LOST;
    case PERF_RECORD_COMM:
        return head->misc & PERF_RECORD_MISC_COMM_EXEC ? PERF_EXECED : PERF_OTHER;
    default:
        return PERF_OTHER;
    }
}

enum perf_kind perf_records_next(struct perf_reader *r, uint8_t *buf, struct perf_record *ret)
{
    struct perf_event_header head;
    uint64_t there = r->head - r->tail;
    ret->kind = PERF_NOTHING;
    if (!there)
        return ret->kind;
    if (there < sizeof(head) || there > r->data_bytes) {
        r->tail = r->head;
        return ret->kind = PERF_SPOILT;
    }
    copy_out(r, r->tail, &head, sizeof(head));
    if (head.size < sizeof(head) || head.size > there) {
        r->tail = r->head;
        return ret->kind = PERF_SPOILT;
    }
    size_t bytes = head.size - sizeof(head);
    copy_out(r, r->tail + sizeof(head), buf, bytes);
    r->tail += head.size;
    return ret->kind = read_record(&head, &(struct cursor){.at = buf, .left = bytes}, ret);
}
