/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "session/state.h"

enum { PERFMAP_MAX_BYTES = 256 << 20 };

static uint32_t put(struct session *s, const char *text)
{
    return intern_put(s->profile->strings, text);
}

/* perf's rule: not another user's file, and nobody else may have written to it */
static bool trustworthy(const struct target *t, const struct stat *st)
{
    return st->st_nlink == 1 && (st->st_uid == 0 || st->st_uid == t->process.euid) &&
           !(st->st_mode & (S_IWGRP | S_IWOTH)) && st->st_size <= PERFMAP_MAX_BYTES;
}

void naming_keep_perfmap(struct session *s, struct target *t)
{
    char path[64];
    struct stat st;
    if (!t->has_jit)
        return;
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", t->process.ns_pid);
    int fd OX_CLOSE = process_open_file(&t->process, path, &st);
    if (fd < 0) {
        session_warn(s,
                     "process %d runs code made at run time that has no names: no %s (node: "
                     "--perf-basic-prof; python 3.12+: -X perf; java: perf-map-agent)",
                     t->process.pid, path);
        return;
    }
    if (!trustworthy(t, &st)) {
        session_warn(s,
                     "%s is ignored: it must be owned by the target's user or root, with one link, "
                     "writable by nobody else, and at most 256 MiB",
                     path);
        return;
    }
    size_t cap = (size_t)st.st_size, n = 0;
    char *text OX_FREE = mem_alloc(cap + 1);
    for (ssize_t got = 1; n < cap && got > 0; n += got > 0 ? (size_t)got : 0)
        got = read(fd, text + n, cap - n);
    perfmap_free(t->perfmap);
    t->perfmap = perfmap_parse(text, n);
}

static void name_special(struct session *s, struct profile_frame *f)
{
    f->kind = KIND_UNKNOWN;
    f->function = put(s, f->address == SPECIAL_UNWIND_FAILED ? "[unwind failed]" : "[not stopped]");
}

static void name_by_place(struct session *s, struct profile_frame *f)
{
    struct module *m = s->modules.items[OX_SPACE_NUMBER(f->space)];
    int64_t nr = OX_SPACE_CALL_OF(f->space);
    const char *call = nr >= 0 ? syscall_name(nr) : NULL;
    uint64_t start = f->address;
    char text[300];
    /* Not each sampled address for itself: a function's samples belong together. */
    unwinder_function_start(s->functions, m, f->address, &start);
    if (call)
        snprintf(text, sizeof(text), "[%s]", call);
    else
        snprintf(text, sizeof(text), "0x%" PRIx64, start);
    f->function = put(s, text);
}

static void ask_in_module(struct session *s, size_t i)
{
    struct profile_frame *f = &s->profile->frames[i];
    struct module *m = s->modules.items[OX_SPACE_NUMBER(f->space)];
    char buf[256];
    f->kind = KIND_NATIVE;
    f->module = put(s, module_short_name(m, buf, sizeof(buf)));
    namer_ask(s->namer, m, f->address, i);
}

static void ask_jit(struct session *s, size_t i)
{
    struct profile_frame *f = &s->profile->frames[i];
    const struct target *t = s->targets[OX_SPACE_NUMBER(f->space)];
    const char *name = t->perfmap ? perfmap_find(t->perfmap, f->address) : NULL;
    f->kind = KIND_JIT;
    f->function = put(s, "[jit]");
    if (name)
        namer_ask_demangled(s->namer, name, i);
}

static void use_answer(struct session *s, const struct namer_answer *a)
{
    struct profile_frame *f = &s->profile->frames[a->tag];
    if (f->kind == KIND_JIT) {
        f->function = put(s, a->text);
    } else if (a->rc > 0) {
        f->function = put(s, a->lines[a->rc - 1].name);
        f->linkage_name = put(s, a->lines[a->rc - 1].linkage_name);
    } else {
        name_by_place(s, f);
    }
}

static void ask_for_frame(struct session *s, size_t i)
{
    struct profile_frame *f = &s->profile->frames[i];
    switch (OX_SPACE_KIND(f->space)) {
    case SPACE_SPECIAL:
        name_special(s, f);
        break;
    case SPACE_MODULE:
        ask_in_module(s, i);
        break;
    case SPACE_JIT:
        ask_jit(s, i);
        break;
    default:
        f->kind = KIND_UNKNOWN;
        f->function = put(s, "unknown");
    }
}

/* A copy of us that only writes the report has no stops to collect, nor an usher. */
static void meanwhile(void *session)
{
    struct session *s = session;
    if (getpid() == s->own_pid)
        session_collect(s);
}

bool naming_kept_fd(void *session, size_t i, int *ret_fd)
{
    const struct session *s = session;
    const struct target *t = i / 2 < s->n_targets ? s->targets[i / 2] : NULL;
    if (t)
        *ret_fd = !t->live ? -1 : i % 2 ? t->process.root_fd : t->process.proc_fd;
    return t != NULL;
}

static void warn_of_troubles(struct session *s)
{
    char text[600];
    for (size_t i = 0; namer_trouble(s->namer, i, text, sizeof(text)); i++)
        session_warn(s, "%s", text);
}

/* JIT code is named anew each time: its map grows, and its addresses are used again. */
void naming_resolve(struct session *s)
{
    struct namer_answer answer;
    size_t n = s->profile->n_frames; /* what is collected meanwhile may bring more */
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live)
            naming_keep_perfmap(s, s->targets[i]);
    for (size_t i = PROFILE_NO_FRAME + 1; i < n; i++)
        if (i >= s->frames_named || OX_SPACE_KIND(s->profile->frames[i].space) == SPACE_JIT)
            ask_for_frame(s, i);
    while (namer_next(s->namer, &answer, meanwhile, s))
        use_answer(s, &answer);
    s->frames_named = n;
    warn_of_troubles(s);
}

void naming_advise(struct session *s, const struct module *m, char *buf, size_t buf_bytes)
{
    struct namer_answer answer;
    namer_ask_advice(s->namer, m, 0);
    while (namer_next(s->namer, &answer, meanwhile, s))
        snprintf(buf, buf_bytes, "%s", answer.text);
}
