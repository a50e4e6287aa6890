/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "session/state.h"

enum { PERFMAP_MAX_BYTES = 256 << 20 };
static const uint64_t jit_again_ns = 5 * OX_NS_PER_S;

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

static void name_plainly(struct session *s, uint32_t frame, enum frame_kind kind, uint32_t module,
                         const char *function)
{
    struct profile_line line = {.function = put(s, function)};
    profile_name(s->profile, frame, kind, module, &line, 1);
}

static uint32_t module_of(struct session *s, const struct module *m)
{
    char name[256], build_id[2 * MODULE_BUILD_ID_MAX + 1];
    module_build_id_hex(m, build_id, sizeof(build_id));
    return profile_module(s->profile, m->path, module_short_name(m, name, sizeof(name)), build_id);
}

static void name_unknown(struct session *s, uint32_t frame, struct module *m)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    int64_t nr = OX_SPACE_CALL_OF(f->space);
    const char *call = nr >= 0 ? syscall_name(nr) : NULL;
    char text[64];
    uint64_t start = f->address;
    /* Not each sampled address for itself: a function's samples belong together. */
    unwinder_function_start(s->functions, m, f->address, &start);
    if (call)
        snprintf(text, sizeof(text), "[%s]", call);
    else
        snprintf(text, sizeof(text), "0x%" PRIx64, start);
    name_plainly(s, frame, KIND_NATIVE, module_of(s, m), text);
}

static void name_in_module(struct session *s, uint32_t frame)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    struct module *m = s->modules.items[OX_SPACE_NUMBER(f->space)];
    struct symbol_line found[SYMBOL_LINES_MAX];
    struct profile_line lines[SYMBOL_LINES_MAX];
    int n = symbols_lines(s->symbols, m, f->address, found);
    if (n <= 0) {
        name_unknown(s, frame, m);
        return;
    }
    for (int i = 0; i < n; i++)
        lines[i] = (struct profile_line){.function = put(s, found[i].name),
                                         .linkage_name = put(s, found[i].linkage_name),
                                         .file = found[i].file ? put(s, found[i].file) : 0,
                                         .line = found[i].line,
                                         .start_line = found[i].start_line};
    profile_name(s->profile, frame, KIND_NATIVE, module_of(s, m), lines, (size_t)n);
}

static void name_jit(struct session *s, uint32_t frame)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    const struct target *t = s->targets[OX_SPACE_NUMBER(f->space)];
    const char *name = t->perfmap ? perfmap_find(t->perfmap, f->address) : NULL;
    name_plainly(s, frame, KIND_JIT, 0, name ? symbols_demangle(s->symbols, name) : "[jit]");
}

static void name_frame(struct session *s, uint32_t frame)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    switch (OX_SPACE_KIND(f->space)) {
    case SPACE_SPECIAL:
        name_plainly(s, frame, KIND_UNKNOWN, 0,
                     f->address == SPECIAL_UNWIND_FAILED ? "[unwind failed]" : "[not stopped]");
        break;
    case SPACE_MODULE:
        name_in_module(s, frame);
        break;
    case SPACE_JIT:
        name_jit(s, frame);
        break;
    default:
        name_plainly(s, frame, KIND_UNKNOWN, 0, "unknown");
    }
}

static bool is_jit(const struct session *s, size_t frame)
{
    return OX_SPACE_KIND(s->profile->frames[frame].space) == SPACE_JIT;
}

/* The maps of those that have one grow while they run. */
static void name_jit_again(struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live)
            naming_keep_perfmap(s, s->targets[i]);
    for (size_t i = PROFILE_NO_FRAME + 1; i < s->frames_named; i++)
        if (is_jit(s, i))
            name_frame(s, (uint32_t)i);
}

bool naming_new(struct session *s, size_t most)
{
    size_t first = s->frames_named ? s->frames_named : PROFILE_NO_FRAME + 1;
    size_t end = s->profile->n_frames;
    end = end - first > most ? first + most : end;
    for (size_t i = first; i < end; i++) {
        s->jit_is_new |= is_jit(s, i);
        name_frame(s, (uint32_t)i);
    }
    s->frames_named = end;
    uint64_t now = clock_now_ns();
    if (!s->jit_is_new || now - s->jit_named_ns < jit_again_ns)
        return false;
    name_jit_again(s);
    s->jit_named_ns = now;
    s->jit_is_new = false;
    return true;
}

/* JIT code is named anew each time: its map grows, and its addresses are used again. */
void naming_resolve(struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live)
            naming_keep_perfmap(s, s->targets[i]);
    for (uint32_t i = PROFILE_NO_FRAME + 1; i < s->profile->n_frames; i++)
        if (i >= s->frames_named || OX_SPACE_KIND(s->profile->frames[i].space) == SPACE_JIT)
            name_frame(s, i);
    s->frames_named = s->profile->n_frames;
}
