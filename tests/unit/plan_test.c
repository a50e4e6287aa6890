/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "capture/plan.h"

/* A list in this process's own memory, copied as another's would be. */
enum { PAGE = 4096, PAGES = 4096, RECORD = 64 };

struct record {
    uint64_t next, object;
};

static struct process self;
static struct snapshot snap;
static uint8_t *memory, *buf;
static struct copy_refs refs = {.wanted = true,
                                .ref_off = offsetof(struct record, object),
                                .object_bytes = RECORD,
                                .part_offs = {0, 8, 16},
                                .part_bytes = RECORD};

static void begin(void)
{
    struct memory_region region;
    self = (struct process){.maps_query = true,
                            .mem_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC),
                            .maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    buf = mem_alloc(SNAPSHOT_PIECES_BYTES);
    if (process_query_region(&self, (uint64_t)(uintptr_t)memory, &region) < 0)
        cr_skip("Linux says nothing of a single mapping before 6.11");
}

static void end(void)
{
    close(self.mem_fd);
    close(self.maps_fd);
    munmap(memory, (size_t)PAGES * PAGE);
    free(buf);
}

TestSuite(plan, .init = begin, .fini = end);

static struct record *record_at(uint64_t off)
{
    return (struct record *)(void *)(memory + off);
}

/* n records, each `step` bytes after the one before (or before it); the head lies in the last page.
 */
static uint64_t make_list(uint64_t first, int64_t step, size_t n)
{
    uint64_t off = first;
    for (size_t i = 0; i < n; i++, off += (uint64_t)step)
        if (i + 1 < n)
            record_at(off)->next = (uint64_t)(uintptr_t)record_at(off + (uint64_t)step);
    struct record *head = record_at((uint64_t)(PAGES - 1) * PAGE);
    head->next = (uint64_t)(uintptr_t)record_at(first);
    return (uint64_t)(uintptr_t)head;
}

static void copy(uint64_t head, bool with_refs)
{
    struct copy_plan plan = {.n_chains = 1, .refs = with_refs ? &refs : NULL};
    plan.chains[0] = (struct copy_chain){
        .head_addr = head, .hop = COPY_NO_HOP, .record_bytes = RECORD, .has_refs = with_refs};
    plan_copy(&plan, &self, buf, &snap);
}

static size_t found(uint64_t first, int64_t step, size_t n)
{
    struct record record;
    size_t there = 0;
    uint64_t off = first;
    for (size_t i = 0; i < n; i++, off += (uint64_t)step)
        there += plan_find(&snap, &record, RECORD, (uint64_t)(uintptr_t)record_at(off)) &&
                 record.next == record_at(off)->next;
    return there;
}

static size_t bytes_copied(void)
{
    size_t bytes = 0;
    for (size_t i = 0; i < snap.n_pieces; i++)
        bytes += snap.pieces[i].bytes;
    return bytes;
}

Test(plan, records_that_lie_apart_take_a_page_each)
{
    copy(make_list(8 * PAGE, 32 * PAGE, 3), false);
    cr_expect_eq(found(8 * PAGE, 32 * PAGE, 3), 3);
    cr_expect_eq(bytes_copied(), 4 * PAGE);
}

/* Either way, and across the ends of pages. */
Test(plan, records_side_by_side_take_few_reads)
{
    enum { N = 1000, STEP = 120, FIRST = 64 * PAGE };
    copy(make_list(FIRST, STEP, N), false);
    cr_expect_eq(found(FIRST, STEP, N), N);
    cr_expect_leq(snap.n_pieces, 2 + N * STEP / (3 * PAGE));
    copy(make_list(FIRST, -STEP, N), false);
    cr_expect_eq(found(FIRST, -STEP, N), N);
    cr_expect_leq(snap.n_pieces, 2 + N * STEP / (3 * PAGE));
    cr_expect_not(snap.pieces_cut);
}

/* Not as far as their number allows, but as there is room: that it did not suffice is said. */
Test(plan, room_is_limited)
{
    copy(make_list(8 * PAGE, 10 * PAGE, 90), false);
    cr_expect_eq(found(8 * PAGE, 10 * PAGE, 90), 90);
    cr_expect_not(snap.pieces_cut);
    copy(make_list(8 * PAGE, 10 * PAGE, 300), false);
    cr_expect_geq(found(8 * PAGE, 10 * PAGE, 300), 120);
    cr_expect(snap.pieces_cut);
    cr_expect_leq(bytes_copied(), SNAPSHOT_PIECES_BYTES);
}

/* A page that must not be read is beside one that may. */
Test(plan, what_must_not_be_read_ends_a_block)
{
    cr_assert_eq(mprotect(memory + 65 * PAGE, PAGE, PROT_NONE), 0);
    copy(make_list(64 * PAGE, 2 * PAGE, 3), false);
    cr_expect_eq(found(64 * PAGE, 2 * PAGE, 3), 3);
    cr_assert_eq(mprotect(memory + 65 * PAGE, PAGE, PROT_READ), 0);
}

/* Every record refers to an object whose parts lie nowhere: asking about them takes time, too. */
Test(plan, questions_are_limited)
{
    enum { N = 1500, STEP = 64 };
    uint64_t nowhere = 1 << 20;
    uint64_t head = make_list(16 * PAGE, STEP, N);
    for (uint64_t i = 0; i < N; i++) {
        uint64_t *object = (uint64_t *)(void *)(memory + 512 * PAGE + i * RECORD);
        record_at(16 * PAGE + i * STEP)->object = (uint64_t)(uintptr_t)object;
        for (int part = 0; part < 3; part++)
            object[part] = nowhere += 64;
    }
    copy(head, true);
    cr_expect_eq(found(16 * PAGE, STEP, N), N);
    cr_expect(snap.pieces_cut);
}
