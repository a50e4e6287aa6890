/* SPDX-License-Identifier: MIT */
#include "capture/asleep.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

/* Asked anew each time: where memory was, a file of FUSE or of a network may be by now, which
 * hangs its reader for good. */
static bool find_memory(struct process *p, uint64_t addr, uint64_t *ret_start, uint64_t *ret_end)
{
    bool anonymous;
    return process_query_memory(p, addr, ret_start, ret_end, &anonymous) == 0 && anonymous;
}

/* Up from sp less the red zone, at most `most` bytes. */
static struct snapshot_piece copy_from(struct watch *w, uint64_t sp, size_t most, uint8_t *buf,
                                       bool *ret_cut)
{
    uint64_t memory_start, memory_end;
    struct snapshot_piece piece = {.data = buf};
    *ret_cut = false;
    if (!find_memory(w->process, sp, &memory_start, &memory_end))
        return piece;
    uint64_t start = sp < SNAPSHOT_RED_ZONE_BYTES ? 0 : (sp - SNAPSHOT_RED_ZONE_BYTES) & ~7ull;
    if (start < memory_start)
        start = memory_start;
    uint64_t room = memory_end - start;
    size_t bytes = room < most ? (size_t)room : most;
    ssize_t got = process_read(w->process, buf, bytes, start);
    if (got <= 0)
        return piece;
    piece.addr = start;
    piece.bytes = (size_t)got;
    *ret_cut = piece.bytes == bytes && room > bytes;
    return piece;
}

/* The stack of interrupted code, if the copied one is a handler's own. */
static bool find_interrupted(const struct watch *w, const struct snapshot *s, uint64_t *ret_sp)
{
    uint64_t at = w->signal_sp_at - s->stack_addr, sp;
    if (!w->signal_sp_at || at >= s->stack_bytes || s->stack_bytes - at < sizeof(sp))
        return false;
    memcpy(&sp, s->stack + at, sizeof(sp));
    *ret_sp = sp;
    return sp - s->stack_addr >= s->stack_bytes;
}

void asleep_copy_stack(struct watch *w, uint64_t sp, uint8_t *buf, struct snapshot *ret)
{
    struct snapshot_piece first = copy_from(w, sp, w->copy_bytes, buf, &ret->stack_cut);
    ret->stack_addr = first.addr;
    ret->stack_bytes = first.bytes;
    ret->stack = buf;
    ret->interrupted = (struct snapshot_piece){0};
    ret->interrupted_cut = false;
    if (!find_interrupted(w, ret, &sp))
        return;
    /* the mapping of a handler's stack may go on far beyond it */
    if (first.bytes > SNAPSHOT_STACK_MAX_BYTES / 2) {
        first.bytes = ret->stack_bytes = SNAPSHOT_STACK_MAX_BYTES / 2;
        ret->stack_cut = true;
    }
    size_t left = SNAPSHOT_STACK_MAX_BYTES - first.bytes;
    ret->interrupted = copy_from(w, sp, left < w->copy_bytes ? left : w->copy_bytes,
                                 buf + first.bytes, &ret->interrupted_cut);
}

void asleep_want_more(struct watch *w, const struct snapshot *last, uint64_t more)
{
    uint64_t held = last->stack_bytes;
    if (held < last->interrupted.bytes)
        held = last->interrupted.bytes;
    uint64_t want = held + more + held / 2;
    if (more > SNAPSHOT_STACK_MAX_BYTES || want > SNAPSHOT_STACK_MAX_BYTES)
        want = SNAPSHOT_STACK_MAX_BYTES;
    want = (want + 4095) & ~4095ull;
    if (want > w->copy_bytes)
        w->copy_bytes = (size_t)want;
}

int asleep_capture(struct watch *w, uint8_t *buf, struct snapshot *ret)
{
    struct proc_where where;
    struct proc_run after;
    int rc = thread_where(w->threads, w->process, w->thread, &where);
    if (rc < 0)
        return rc;
    if (where.running)
        return -EAGAIN;
    /* lib/syscall.c of the kernel: all zero for a task whose stack is gone */
    if (!where.sp && !where.pc)
        return -ENODATA;
    *ret = (struct snapshot){
        .pid = w->process->pid,
        .tid = w->thread->tid,
        .taken_ns = clock_now_ns(),
        .state = STATE_WAIT,
        .source = SOURCE_ASLEEP,
        .syscall = where.syscall,
        .regs.known = 1u << DWREG_RSP | 1u << DWREG_RIP,
    };
    memcpy(ret->syscall_args, where.args, sizeof(ret->syscall_args));
    ret->regs.value[DWREG_RSP] = where.sp;
    ret->regs.value[DWREG_RIP] = where.pc;
    asleep_copy_stack(w, where.sp, buf, ret);
    plan_copy(w->plan, w->process, buf + SNAPSHOT_STACK_MAX_BYTES, ret);
    rc = thread_run(w->threads, w->process, w->thread, &after);
    if (rc < 0)
        return rc;
    bool slept = after.switches_in == w->run.switches_in;
    w->run = after;
    return slept ? 0 : -EBUSY;
}
