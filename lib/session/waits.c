/* SPDX-License-Identifier: MIT */
#include "session/waits.h"

#include <asm/unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/mem.h"
#include "session/state.h"

/* Which argument leads to what a call waits for. */
enum thing { THING_FD, THING_POLL, THING_CONNECT, THING_FUTEX };

static const struct {
    int64_t nr;
    enum thing thing;
} calls[] = {
    {__NR_futex, THING_FUTEX},        {__NR_read, THING_FD},
    {__NR_write, THING_FD},           {__NR_readv, THING_FD},
    {__NR_writev, THING_FD},          {__NR_pread64, THING_FD},
    {__NR_pwrite64, THING_FD},        {__NR_preadv, THING_FD},
    {__NR_pwritev, THING_FD},         {__NR_preadv2, THING_FD},
    {__NR_pwritev2, THING_FD},        {__NR_recvfrom, THING_FD},
    {__NR_recvmsg, THING_FD},         {__NR_recvmmsg, THING_FD},
    {__NR_sendto, THING_FD},          {__NR_sendmsg, THING_FD},
    {__NR_sendmmsg, THING_FD},        {__NR_sendfile, THING_FD},
    {__NR_splice, THING_FD},          {__NR_accept, THING_FD},
    {__NR_accept4, THING_FD},         {__NR_connect, THING_CONNECT},
    {__NR_poll, THING_POLL},          {__NR_ppoll, THING_POLL},
    {__NR_fsync, THING_FD},           {__NR_fdatasync, THING_FD},
    {__NR_sync_file_range, THING_FD}, {__NR_syncfs, THING_FD},
    {__NR_ftruncate, THING_FD},       {__NR_fallocate, THING_FD},
    {__NR_flock, THING_FD},           {__NR_fcntl, THING_FD},
    {__NR_ioctl, THING_FD},           {__NR_getdents64, THING_FD},
    {__NR_mq_timedreceive, THING_FD}, {__NR_mq_timedsend, THING_FD},
};
enum { CALLS = sizeof(calls) / sizeof(*calls) };

void waits_release(struct waits *waits)
{
    for (size_t i = 0; i < waits->n_nets; i++) {
        sockets_release(&waits->nets[i].sockets);
        map_release(&waits->nets[i].unknown);
    }
    free(waits->nets);
    wait_functions_release(waits);
    intern_free(waits->texts);
    *waits = (struct waits){0};
}

/* recv(2) and send(2) are the calls without an address. */
static const char *name_of(const struct snapshot *snap)
{
    bool plain = !snap->syscall_args[4];
    if (plain && snap->syscall == __NR_recvfrom)
        return "recv";
    if (plain && snap->syscall == __NR_sendto)
        return "send";
    return syscall_name(snap->syscall);
}

/* Of a long one the end says more: the name of a file. */
static const char *shortened(const char *thing, char buf[WAIT_THING_BYTES + 1])
{
    size_t n = strlen(thing);
    if (n <= WAIT_THING_BYTES)
        return thing;
    const char *at = thing + n - (WAIT_THING_BYTES - 3);
    while (((unsigned char)*at & 0xc0) == 0x80) /* the middle of a character */
        at++;
    snprintf(buf, WAIT_THING_BYTES + 1, "...%s", at);
    return buf;
}

static uint32_t frame_of(struct session *s, uint32_t number, uint32_t id)
{
    uint32_t frame = profile_frame(s->profile, OX_SPACE(SPACE_WAIT, number), id);
    if (frame != PROFILE_NO_FRAME && !s->profile->frames[frame].wait)
        s->profile->frames[frame].wait = waits_text(s, frame);
    return frame;
}

static uint32_t plain_frame(struct session *s, const char *text)
{
    return frame_of(s, OX_WAIT_NUMBER(WAIT_PLAIN, OX_NO_THREAD),
                    intern_put(s->profile->strings, text));
}

uint32_t waits_frame(struct session *s, const char *reason, const struct wait_thing *thing,
                     bool python)
{
    struct waits *waits = &s->waits;
    char text[WAIT_THING_BYTES + 64], cut[WAIT_THING_BYTES + 1];
    if (!waits->texts)
        waits->texts = intern_new(WAIT_TEXTS_BYTES);
    snprintf(text, sizeof(text), "%s: %s", reason, shortened(thing->text, cut));
    uint64_t before = intern_overflowed(waits->texts);
    uint32_t id = intern_put(waits->texts, text);
    if (intern_overflowed(waits->texts) != before) {
        waits->folded++;
        snprintf(text, sizeof(text), "%s: (other)", reason);
        return plain_frame(s, text);
    }
    return frame_of(s, OX_WAIT_NUMBER(python ? WAIT_PYTHON : WAIT_KERNEL, thing->thread), id);
}

uint32_t waits_text(struct session *s, uint32_t frame)
{
    struct profile *p = s->profile;
    const struct profile_frame *f = &p->frames[frame];
    uint32_t number = OX_SPACE_NUMBER(f->space), thread = OX_WAIT_THREAD(number);
    if (OX_WAIT_KIND(number) == WAIT_PLAIN)
        return (uint32_t)f->address;
    const char *text = intern_get(s->waits.texts, (uint32_t)f->address);
    if (thread == OX_NO_THREAD)
        return intern_put(p->strings, text);
    const struct profile_thread *th = &p->threads[thread];
    OX_FREE char *whole =
        th->tid ? mem_printf("%s %s (tid %d)", text, intern_get(p->strings, th->name), th->tid)
                : mem_printf("%s (other)", text);
    return intern_put(p->strings, whole);
}

static bool find_thing(struct session *s, struct target *t, struct watch *w,
                       const struct snapshot *snap, const struct stack *stack,
                       struct wait_thing *ret)
{
    for (size_t i = 0; i < CALLS; i++) {
        if (calls[i].nr != snap->syscall)
            continue;
        switch (calls[i].thing) {
        case THING_FD:
            return wait_file(s, t, w, snap->syscall_args[0], ret);
        case THING_POLL:
            return wait_poll(s, t, w, snap, ret);
        case THING_CONNECT:
            return wait_address(s, t, snap, ret);
        case THING_FUTEX:
            return wait_lock(s, t, w, snap, stack, ret);
        }
    }
    return false;
}

/* In no system call: it waits for its own memory, or has been stopped; that also at the end of a
 * call, which is then shown still. */
static const char *without_call(struct watch *w, bool in_call)
{
    struct proc_stat stat;
    if (thread_stat(w->threads, w->process, w->thread, &stat) < 0)
        return NULL;
    switch (stat.state) {
    case 'D':
    case 'S': /* where a process serves its faults: userfaultfd(2) */
        return in_call ? NULL : "page fault";
    case 'T':
        return "stopped";
    case 't':
        return "traced";
    default:
        return NULL;
    }
}

bool waits_sleeps(const struct watch *w)
{
    struct proc_run run;
    return thread_run(w->threads, w->process, w->thread, &run) == 0 &&
           run.switches_in == w->run.switches_in;
}

uint32_t waits_find(struct session *s, struct target *t, struct watch *w,
                    const struct snapshot *snap, const struct stack *stack)
{
    struct wait_thing thing = {.thread = OX_NO_THREAD};
    w->waits_for = 0;
    if (snap->source != SOURCE_ASLEEP || s->opt.cpu_only)
        return PROFILE_NO_FRAME;
    bool in_call = snap->syscall >= 0;
    if (!in_call || t->process.state == 'T') {
        const char *reason = without_call(w, in_call);
        if (reason && waits_sleeps(w))
            return plain_frame(s, reason);
    }
    if (!in_call)
        return PROFILE_NO_FRAME;
    const char *name = name_of(snap);
    if (!name || !find_thing(s, t, w, snap, stack, &thing))
        return PROFILE_NO_FRAME;
    if (!waits_sleeps(w)) {
        w->waits_for = 0;
        return PROFILE_NO_FRAME;
    }
    return waits_frame(s, name, &thing, false);
}
