/* SPDX-License-Identifier: MIT */
#include <asm/unistd.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "capture/asleep.h"
#include "session/state.h"
#include "symbols/kallsyms.h"

enum { MAP_TRIES = 64 };

/* Only now is it known which modules the code lies in: saved snapshots need their bytes noted. */
static void note_reads(struct session *s)
{
    for (size_t i = 0; s->opt.keep_snapshots && i < s->modules.n; i++) {
        struct module *m = s->modules.items[i];
        if (!m->touched && m->file_bytes)
            m->touched = mem_alloc(m->file_bytes / 4096 / 8 + 1);
    }
}

/* False where we know no more than before: the table is full, or a kernel without PROCMAP_QUERY is
 * not asked so soon again. */
static bool ask(struct session *s, struct target *t, uint64_t addr)
{
    int rc = process_map(&t->process, &s->modules, addr);
    if (rc == 0)
        return mappings_find(&t->process.maps, addr) != NULL;
    return rc == -ENODATA && t->process.maps_query;
}

static void walk(struct session *s, struct target *t, const struct snapshot *snap,
                 struct stack *stack)
{
    /* Without PROCMAP_QUERY the copy needed the mapping of the stack in the table: for the next
     * time. */
    if (!snap->stack_bytes && !t->process.maps_query)
        process_map(&t->process, &s->modules, snap->regs.value[DWREG_RSP]);
    unwinder_walk(t->unwinder, snap, &t->process.maps, stack);
    for (int i = 0; i < MAP_TRIES && stack->end == STACK_UNMAPPED && stack->miss_addr; i++) {
        if (!ask(s, t, stack->miss_addr))
            return;
        note_reads(s);
        unwinder_walk_on(t->unwinder, snap, &t->process.maps, stack);
    }
}

uint32_t stacks_native_frame(struct session *s, struct target *t, const struct frame *f)
{
    bool exact = f->how == FRAME_LEAF || f->how == FRAME_SIGNAL;
    uint64_t addr = exact ? f->addr : f->addr - 1, vaddr;
    const struct mapping *map = mappings_find(&t->process.maps, addr);
    if (!map || !(map->prot & PROT_EXEC))
        return profile_frame(s->profile, OX_SPACE(SPACE_UNMAPPED, 0), 0);
    if (map->module && mapping_vaddr(map, addr, &vaddr))
        return profile_frame(s->profile, OX_SPACE(SPACE_MODULE, map->module->id), vaddr);
    if (map->module) /* its file can't be read, or does not say what lies here: by the place in it
                      */
        return profile_frame(s->profile, OX_SPACE(SPACE_MODULE, map->module->id),
                             map->off + (addr - map->start));
    t->has_jit = true;
    return profile_frame(s->profile, OX_SPACE(SPACE_JIT, t->index), addr);
}

/*
 * After a stop, ours or a debugger's, some calls go on as restart_syscall(2), with their own
 * arguments (those that set restart_block.fn in Linux 6.18). Which one it is says the code:
 * mov $NUMBER,%eax; syscall.
 */
static int64_t restarted_call(struct session *s, struct target *t, uint64_t pc)
{
    enum { MOV_EAX = 0xb8, CODE_BYTES = 7 };
    uint8_t code[CODE_BYTES];
    uint64_t vaddr, start = pc - CODE_BYTES;
    uint32_t nr;
    const struct mapping *map = mappings_find(&t->process.maps, start);
    if (!map && process_map(&t->process, &s->modules, start) == 0)
        map = mappings_find(&t->process.maps, start);
    if (!map || !map->module || !mapping_vaddr(map, start, &vaddr) ||
        module_read_vaddr(map->module, code, sizeof(code), vaddr) < 0 || code[0] != MOV_EAX ||
        code[5] != 0x0f || code[6] != 0x05)
        return __NR_restart_syscall;
    memcpy(&nr, code + 1, sizeof(nr));
    bool known =
        nr == __NR_poll || nr == __NR_nanosleep || nr == __NR_clock_nanosleep || nr == __NR_futex;
    return known ? nr : __NR_restart_syscall;
}

int stacks_capture_asleep(struct session *s, struct target *t, struct watch *w,
                          struct snapshot *ret)
{
    int rc = asleep_capture(w, s->buf, ret);
    if (rc == 0 && ret->syscall == __NR_restart_syscall)
        ret->syscall = restarted_call(s, t, ret->regs.value[DWREG_RIP]);
    return rc;
}

/* The innermost frame of a waiting thread, keyed with the call that it waits in. */
static uint32_t with_call(struct session *s, uint32_t frame, int64_t nr)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    if (nr < 0 || nr > 0xffff || OX_SPACE_KIND(f->space) != SPACE_MODULE)
        return frame;
    frame = profile_frame(s->profile, f->space | OX_SPACE_CALL(nr), f->address);
    if (syscall_name(nr))
        s->profile->frames[frame].wait = intern_put(s->profile->strings, syscall_name(nr));
    return frame;
}

/* Below the innermost frame, where that is the one that makes the call. */
static size_t with_wait(struct session *s, size_t n, uint32_t wait)
{
    const struct profile_frame *leaf = &s->profile->frames[s->frames[0]];
    unsigned kind = OX_SPACE_KIND(leaf->space);
    if (wait == PROFILE_NO_FRAME || n == STACK_FRAMES_MAX ||
        (kind != SPACE_MODULE && kind != SPACE_JIT))
        return n;
    memmove(s->frames + 1, s->frames, n * sizeof(*s->frames));
    s->frames[0] = wait;
    return n + 1;
}

/* At most so many frames below the innermost. */
static size_t kernel_frames(struct session *s, const struct snapshot *snap, uint32_t *ret)
{
    if (snap->n_kernel && s->kernel == KERNEL_UNKNOWN)
        s->kernel = kallsyms_shown() ? KERNEL_NAMED : KERNEL_HIDDEN;
    if (snap->n_kernel && s->kernel == KERNEL_HIDDEN) {
        ret[0] = profile_frame(s->profile, OX_SPACE(SPACE_SPECIAL, 0), SPECIAL_IN_KERNEL);
        return 1;
    }
    for (size_t i = 0; i < snap->n_kernel; i++)
        ret[i] = profile_frame(s->profile, OX_SPACE(SPACE_KERNEL, 0), snap->kernel[i] - (i > 0));
    return snap->n_kernel;
}

/* What the kernel did when the thread was there: below the frame that called it. */
static size_t with_kernel(struct session *s, const struct snapshot *snap, size_t n)
{
    uint32_t frames[SNAPSHOT_KERNEL_MAX];
    size_t more = kernel_frames(s, snap, frames);
    if (n + more > STACK_FRAMES_MAX)
        more = STACK_FRAMES_MAX - n;
    memmove(s->frames + more, s->frames, n * sizeof(*s->frames));
    memcpy(s->frames, frames, more * sizeof(*frames));
    return n + more;
}

/* One of each thread: where more was to be copied, or it was taught from, the last one counts. */
static struct kept_snapshot *place_of(struct session *s, const struct snapshot *snap)
{
    for (size_t i = s->n_kept; i-- > 0;) {
        struct kept_snapshot *k = &s->kept[i];
        if (k->snapshot.tid != snap->tid || k->snapshot.pid != snap->pid)
            continue;
        free((void *)(uintptr_t)k->snapshot.stack);
        free(k->wait);
        snapfile_free_shown(k->shown, k->n_shown);
        return k;
    }
    s->kept = mem_grow(s->kept, &s->kept_cap, s->n_kept + 1, sizeof(*s->kept));
    return &s->kept[s->n_kept++];
}

static void keep(struct session *s, const struct watch *w, const struct snapshot *snap)
{
    uint8_t *copy = mem_alloc(snap->stack_bytes);
    memcpy(copy, snap->stack, snap->stack_bytes);
    struct kept_snapshot *k = place_of(s, snap);
    *k = (struct kept_snapshot){.snapshot = *snap};
    k->snapshot.stack = copy;
    k->snapshot.n_pieces = 0;
    k->snapshot.n_kernel = 0;
    k->snapshot.interrupted = (struct snapshot_piece){0}; /* the file holds one stack */
    memcpy(k->name, w->thread->name, sizeof(k->name));
    s->kept_last = (size_t)(k - s->kept);
}

static void reverse(uint32_t *frames, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        uint32_t frame = frames[i];
        frames[i] = frames[n - 1 - i];
        frames[n - 1 - i] = frame;
    }
}

uint32_t stacks_tally(struct session *s, struct target *t, struct watch *w,
                      const struct snapshot *snap, struct stack *ret_stack)
{
    walk(s, t, snap, ret_stack);
    if (s->opt.keep_snapshots)
        keep(s, w, snap);
    enum profile_state state = snap->state == STATE_CPU ? PROFILE_CPU : PROFILE_WAIT;
    size_t n = ret_stack->n;
    for (size_t i = 0; i < n; i++)
        s->frames[i] = stacks_native_frame(s, t, &ret_stack->frames[i]);
    if (n == 1 && ret_stack->end == STACK_UNMAPPED)
        return stacks_special(s, w, SPECIAL_UNWIND_FAILED, state);
    if (snap->state == STATE_WAIT)
        s->frames[0] = with_call(s, s->frames[0], snap->syscall);
    uint32_t wait = snap->state == STATE_WAIT ? waits_find(s, t, w, snap, ret_stack) : 0;
    if (s->opt.view != VIEW_NATIVE)
        n = pystacks_merge(s, t, w, snap, ret_stack, n);
    n = with_wait(s, n, wait);
    n = with_kernel(s, snap, n);
    if (s->opt.keep_snapshots && wait != PROFILE_NO_FRAME && s->frames[0] == wait)
        s->kept[s->kept_last].wait =
            mem_strdup(intern_get(s->profile->strings, s->profile->frames[wait].wait));
    reverse(s->frames, n);
    return profile_stack(s->profile, s->frames, n, w->profile_thread, state);
}

uint32_t stacks_special(struct session *s, struct watch *w, uint64_t special,
                        enum profile_state state)
{
    uint32_t frame = profile_frame(s->profile, OX_SPACE(SPACE_SPECIAL, 0), special);
    return profile_stack(s->profile, &frame, 1, w->profile_thread, state);
}

bool stacks_counts(const struct session *s, uint32_t tally)
{
    const struct profile_tally *t = &s->profile->tallies[tally];
    const struct profile_frame *leaf = &s->profile->frames[s->profile->nodes[t->node].frame];
    if (s->opt.cpu_only && t->state != PROFILE_CPU)
        return false;
    return leaf->space != OX_SPACE(SPACE_SPECIAL, 0) || leaf->address != SPECIAL_NOT_COUNTED;
}

void stacks_hit(struct session *s, uint32_t tally, uint64_t hits, uint64_t last_tick)
{
    if (!hits || !stacks_counts(s, tally))
        return;
    profile_hit(s->profile, tally, hits);
    if (s->profile->timed)
        profile_moment(s->profile, tally, hits, last_tick);
    s->samples += hits;
    s->samples_ever[s->profile->tallies[tally].state] += hits;
    for (size_t i = 0; i < s->n_followers; i++)
        s->followers[i].hit(s->followers[i].arg, tally, hits);
    atomic_store_explicit(&s->guardian->page->samples, s->samples, memory_order_relaxed);
}
