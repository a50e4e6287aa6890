/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "capture/asleep.h"

enum { BYTES = 2 * SNAPSHOT_STACK_MAX_BYTES, SP = 4096, KEPT_SP = 8192, BELOW = BYTES - 4096 };

/* Memory that this process can show to itself as stacks. */
struct own {
    struct process process;
    struct watch watch;
    uint8_t *memory, *buf;
};

static void open_own(struct own *o)
{
    *o = (struct own){.buf = mem_alloc(SNAPSHOT_BUF_BYTES)};
    o->memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t start = (uint64_t)o->memory;
    struct mapping m = {.start = start, .end = start + BYTES, .prot = PROT_READ | PROT_WRITE};
    o->process.mem_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    cr_assert(o->process.mem_fd >= 0 && mappings_put(&o->process.maps, &m));
    o->watch = (struct watch){.process = &o->process, .copy_bytes = SNAPSHOT_STACK_MAX_BYTES};
}

static void close_own(struct own *o)
{
    close(o->process.mem_fd);
    mappings_release(&o->process.maps);
    munmap(o->memory, BYTES);
    free(o->buf);
}

/* However far the mapping of a handler's stack goes on: what it has interrupted has room too. */
Test(asleep, both_stacks_have_room)
{
    struct own o;
    struct snapshot snap;
    open_own(&o);
    uint64_t start = (uint64_t)o.memory, below = start + BELOW;
    memcpy(o.memory + KEPT_SP, &below, sizeof(below));
    memcpy(o.memory + BELOW, "interrupted", 11);
    o.watch.signal_sp_at = start + KEPT_SP;
    asleep_copy_stack(&o.watch, start + SP, o.buf, &snap);
    const struct snapshot_piece *other = &snap.interrupted;
    cr_assert_gt(snap.stack_addr + snap.stack_bytes, start + KEPT_SP);
    cr_assert_gt(other->bytes, SNAPSHOT_RED_ZONE_BYTES, "%zu bytes", other->bytes);
    cr_assert_leq(snap.stack_bytes + other->bytes, SNAPSHOT_STACK_MAX_BYTES);
    cr_assert_eq(memcmp(other->data + (below - other->addr), "interrupted", 11), 0);
    close_own(&o);
}
