/* SPDX-License-Identifier: MIT */
#include <asm/perf_regs.h>
#include <criterion/criterion.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "capture/perf_records.h"

enum { RING_BYTES = 4096, START = 4000, REGS = 17, STACK_BYTES = 64 };

/* A ring, written as the kernel would, beginning near its end so that records wrap around. */
struct ring {
    uint8_t *data; /* owned; exactly RING_BYTES, so that a read beyond them is seen */
    struct perf_reader reader;
    uint8_t *buf; /* owned */
    size_t head_at;
};

static struct ring new_ring(void)
{
    struct ring r = {.data = mem_alloc(RING_BYTES), .buf = mem_alloc(PERF_RECORD_MAX_BYTES)};
    r.reader = (struct perf_reader){
        .data = r.data, .data_bytes = RING_BYTES, .head = START, .tail = START};
    return r;
}

static void free_ring(struct ring *r)
{
    free(r->data);
    free(r->buf);
}

static void put(struct ring *r, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        r->data[r->reader.head++ % RING_BYTES] = ((const uint8_t *)bytes)[i];
}

static void put_u64(struct ring *r, uint64_t value)
{
    put(r, &value, sizeof(value));
}

static void put_header(struct ring *r, uint32_t type, uint16_t misc, size_t bytes)
{
    struct perf_event_header head = {.type = type, .misc = misc, .size = (uint16_t)bytes};
    put(r, &head, sizeof(head));
}

struct made {
    uint16_t misc;
    uint64_t abi, stack_bytes, copied;
    const uint64_t *chain;
    size_t n_chain;
};

/* RAX is 100, RBX 101, and so on in the kernel's order; stack bytes are 0, 1, 2, ... */
static void put_sample(struct ring *r, const struct made *m)
{
    size_t regs = m->abi ? REGS : 0;
    size_t bytes = 8 + 8 + 8 + 8 + m->n_chain * 8 + 8 + regs * 8 + 8 + m->stack_bytes +
                   (m->stack_bytes ? 8 : 0);
    put_header(r, PERF_RECORD_SAMPLE, m->misc, bytes);
    put(r, (uint32_t[]){77, 78}, 8);
    put_u64(r, 123456789);
    put_u64(r, m->n_chain);
    for (size_t i = 0; i < m->n_chain; i++)
        put_u64(r, m->chain[i]);
    put_u64(r, m->abi);
    for (size_t i = 0; i < regs; i++)
        put_u64(r,
                m->misc == PERF_RECORD_MISC_KERNEL && (i == 1 || i >= 13) ? UINT64_MAX : 100 + i);
    put_u64(r, m->stack_bytes);
    for (size_t i = 0; i < m->stack_bytes; i++)
        put(r, &(uint8_t){(uint8_t)i}, 1);
    if (m->stack_bytes)
        put_u64(r, m->copied);
}

static const struct made whole = {.misc = PERF_RECORD_MISC_USER,
                                  .abi = PERF_SAMPLE_REGS_ABI_64,
                                  .stack_bytes = STACK_BYTES,
                                  .copied = STACK_BYTES};

static enum perf_kind next(struct ring *r, struct perf_record *ret)
{
    return perf_records_next(&r->reader, r->buf, ret);
}

Test(perf, sample)
{
    struct ring r = new_ring();
    struct perf_record record;
    put_sample(&r, &whole);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    const struct snapshot *s = &record.snapshot;
    cr_assert_eq(s->pid, 77);
    cr_assert_eq(s->tid, 78);
    cr_assert_eq(s->taken_ns, 123456789);
    cr_assert_eq(s->source, SOURCE_PERF);
    cr_assert_eq(s->regs.known, (1u << DWREG_N) - 1);
    cr_assert_eq(s->regs.value[DWREG_RAX], 100);
    cr_assert_eq(s->regs.value[DWREG_RBX], 101);
    cr_assert_eq(s->regs.value[DWREG_RCX], 102);
    cr_assert_eq(s->regs.value[DWREG_RDX], 103);
    cr_assert_eq(s->regs.value[DWREG_RSI], 104);
    cr_assert_eq(s->regs.value[DWREG_RDI], 105);
    cr_assert_eq(s->regs.value[DWREG_RBP], 106);
    cr_assert_eq(s->regs.value[DWREG_RSP], 107);
    cr_assert_eq(s->regs.value[DWREG_RIP], 108);
    cr_assert_eq(s->regs.value[DWREG_R8], 109);
    cr_assert_eq(s->regs.value[DWREG_R15], 116);
    cr_assert_eq(s->stack_addr, 107);
    cr_assert_eq(s->stack_bytes, STACK_BYTES);
    cr_assert(s->stack_cut);
    cr_assert_eq(s->n_kernel, 0);
    for (size_t i = 0; i < STACK_BYTES; i++)
        cr_assert_eq(s->stack[i], i);
    cr_assert_eq(next(&r, &record), PERF_NOTHING);
    free_ring(&r);
}

Test(perf, stack_that_ends_in_the_dump)
{
    struct ring r = new_ring();
    struct perf_record record;
    struct made made = whole;
    made.copied = 24;
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    cr_assert_eq(record.snapshot.stack_bytes, 24);
    cr_assert_not(record.snapshot.stack_cut);
    made.copied = STACK_BYTES + 8; /* more than there is: none of it */
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    cr_assert_eq(record.snapshot.stack_bytes, 0);
    made.stack_bytes = 0;
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    cr_assert_eq(record.snapshot.stack_bytes, 0);
    free_ring(&r);
}

Test(perf, registers_that_the_kernel_does_not_know)
{
    struct ring r = new_ring();
    struct perf_record record;
    struct made made = whole;
    made.misc = PERF_RECORD_MISC_KERNEL;
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    cr_assert_not(record.snapshot.regs.known & (1u << DWREG_RBX | 1u << DWREG_R12));
    cr_assert(record.snapshot.regs.known & 1u << DWREG_RBP);
    made.abi = PERF_SAMPLE_REGS_ABI_NONE;
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_NO_REGS);
    made.abi = PERF_SAMPLE_REGS_ABI_32;
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_NO_REGS);
    free_ring(&r);
}

Test(perf, lost_and_exec_and_others)
{
    struct ring r = new_ring();
    struct perf_record record;
    put_header(&r, PERF_RECORD_LOST, 0, 24);
    put_u64(&r, 1);
    put_u64(&r, 4711);
    put_header(&r, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC, 32);
    put(&r, "\0\0\0\0\0\0\0\0comm\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    put_header(&r, PERF_RECORD_COMM, 0, 8);
    put_header(&r, 12345, 0, 16);
    put_u64(&r, 0);
    put_sample(&r, &whole);
    cr_assert_eq(next(&r, &record), PERF_LOST);
    cr_assert_eq(record.lost, 4711);
    cr_assert_eq(next(&r, &record), PERF_EXECED);
    cr_assert_eq(next(&r, &record), PERF_OTHER);
    cr_assert_eq(next(&r, &record), PERF_OTHER);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    free_ring(&r);
}

static const uint64_t chain[] = {0x1234,
                                 (uint64_t)PERF_CONTEXT_KERNEL,
                                 0xffffffff81000010,
                                 0xffffffff81000020,
                                 (uint64_t)PERF_CONTEXT_USER,
                                 0x7f0000001234,
                                 (uint64_t)PERF_CONTEXT_GUEST_KERNEL,
                                 0xffffffff82000000,
                                 (uint64_t)PERF_CONTEXT_KERNEL,
                                 0xffffffff81000030};
enum { CHAIN = sizeof(chain) / sizeof(*chain) };

/* Of a call chain what the kernel's own marks stand before; the rest follows as ever. */
Test(perf, kernel_chain)
{
    struct ring r = new_ring();
    struct perf_record record;
    struct made made = whole;
    made.misc = PERF_RECORD_MISC_KERNEL;
    made.chain = chain;
    made.n_chain = CHAIN;
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    const struct snapshot *s = &record.snapshot;
    cr_assert_eq(s->n_kernel, 3);
    for (size_t i = 0; i < s->n_kernel; i++)
        cr_assert_eq(s->kernel[i], 0xffffffff81000010 + 0x10 * i);
    cr_assert_eq(s->regs.value[DWREG_RIP], 108);
    cr_assert_eq(s->stack_bytes, STACK_BYTES);
    put_sample(&r, &whole);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    cr_assert_eq(record.snapshot.n_kernel, 0, "of the sample before");
    free_ring(&r);
}

/* kernel.perf_event_max_stack may be 640; what a snapshot has no room for is the outermost. */
Test(perf, longer_chain_than_a_snapshot_holds)
{
    struct ring r = new_ring();
    struct perf_record record;
    uint64_t many[SNAPSHOT_KERNEL_MAX + 3] = {(uint64_t)PERF_CONTEXT_KERNEL};
    for (size_t i = 1; i < SNAPSHOT_KERNEL_MAX + 3; i++)
        many[i] = i;
    struct made made = whole;
    made.chain = many;
    made.n_chain = SNAPSHOT_KERNEL_MAX + 3;
    put_sample(&r, &made);
    cr_assert_eq(next(&r, &record), PERF_SAMPLED);
    cr_assert_eq(record.snapshot.n_kernel, SNAPSHOT_KERNEL_MAX);
    cr_assert_eq(record.snapshot.kernel[SNAPSHOT_KERNEL_MAX - 1], SNAPSHOT_KERNEL_MAX);
    cr_assert_eq(record.snapshot.stack_bytes, STACK_BYTES);
    free_ring(&r);
}

/* Of more frames than the record has bytes for, up to 2^64 - 1. */
Test(perf, chain_that_is_longer_than_its_record)
{
    static const uint64_t lies[] = {CHAIN + 40, UINT64_C(1) << 61, UINT64_MAX};
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct ring r = new_ring();
        struct perf_record record;
        struct made made = whole;
        made.chain = chain;
        made.n_chain = CHAIN;
        put_sample(&r, &made);
        for (size_t at = 0; at < 8; at++)
            r.data[(START + 8 + 16 + at) % RING_BYTES] = (uint8_t)(lies[i] >> 8 * at);
        cr_assert_eq(next(&r, &record), PERF_SPOILT);
        cr_assert_eq(next(&r, &record), PERF_NOTHING);
        free_ring(&r);
    }
}

/* Cut after any byte a record is none, whatever its lengths say, and nothing beyond is read. */
Test(perf, every_cut)
{
    struct perf_record record;
    struct made made = whole;
    made.chain = chain;
    made.n_chain = CHAIN;
    size_t bytes = 8 + 8 + 8 + 8 + CHAIN * 8 + 8 + REGS * 8 + 8 + STACK_BYTES + 8;
    for (size_t cut = 8; cut < bytes; cut++) {
        struct ring r = new_ring();
        put_sample(&r, &made);
        uint16_t size = (uint16_t)cut;
        memcpy(r.data + START + offsetof(struct perf_event_header, size), &size, sizeof(size));
        r.reader.head = START + cut;
        cr_assert_eq(next(&r, &record), PERF_SPOILT, "cut after %zu bytes", cut);
        cr_assert_eq(r.reader.tail, r.reader.head);
        free_ring(&r);
    }
}

Test(perf, spoilt_lengths)
{
    struct perf_record record;
    for (size_t size = 0; size < 8; size++) {
        struct ring r = new_ring();
        put_header(&r, PERF_RECORD_SAMPLE, 0, size);
        cr_assert_eq(next(&r, &record), PERF_SPOILT);
        cr_assert_eq(next(&r, &record), PERF_NOTHING);
        free_ring(&r);
    }
    struct ring r = new_ring();
    put_header(&r, PERF_RECORD_SAMPLE, 0, 4096); /* more than was written */
    cr_assert_eq(next(&r, &record), PERF_SPOILT);
    put_u64(&r, 0);
    r.reader.tail++; /* less than a header */
    cr_assert_eq(next(&r, &record), PERF_SPOILT);
    r.reader.head += RING_BYTES + 1; /* more than the ring holds */
    cr_assert_eq(next(&r, &record), PERF_SPOILT);
    cr_assert_eq(next(&r, &record), PERF_NOTHING);
    free_ring(&r);
}
