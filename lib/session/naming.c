/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "session/naming.h"
#include "session/state.h"

enum {
    PERFMAP_MAX_BYTES = 256 << 20,
    QUESTIONS_MAX = 512, /* on their way while ticks go on */
};
enum { PREPARE_MIN_BYTES = 16 << 20, PREPARED_MOST = 64 }; /* files that take a while to read */
static const uint64_t prepare_every_ns = OX_NS_PER_S;
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
    if (fd < 0 && t->perfmap)
        return; /* it was there before: what it said stays true */
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

uint32_t naming_module(struct profile *p, const struct module *m)
{
    char name[256], build_id[2 * MODULE_BUILD_ID_MAX + 1];
    module_build_id_hex(m, build_id, sizeof(build_id));
    return profile_module(p, m->path, module_short_name(m, name, sizeof(name)), build_id);
}

bool naming_apply(struct profile *p, uint32_t frame, const struct module *m,
                  const struct namer_answer *a)
{
    struct profile_line lines[SYMBOL_LINES_MAX];
    for (int i = 0; i < a->rc; i++) {
        const struct symbol_line *l = &a->lines[i];
        lines[i] = (struct profile_line){.function = intern_put(p->strings, l->name),
                                         .linkage_name = intern_put(p->strings, l->linkage_name),
                                         .file = l->file ? intern_put(p->strings, l->file) : 0,
                                         .line = l->line,
                                         .start_line = l->start_line};
    }
    if (a->rc > 0)
        profile_name(p, frame, KIND_NATIVE, naming_module(p, m), lines, (size_t)a->rc);
    return a->rc > 0;
}

static void name_plainly(struct session *s, uint32_t frame, enum frame_kind kind, uint32_t module,
                         const char *function)
{
    struct profile_line line = {.function = put(s, function)};
    profile_name(s->profile, frame, kind, module, &line, 1);
}

static void name_by_place(struct session *s, uint32_t frame, struct module *m)
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
    name_plainly(s, frame, KIND_NATIVE, naming_module(s->profile, m), text);
}

static void name_in_module(struct session *s, uint32_t frame, const struct namer_answer *a)
{
    struct module *m = s->modules.items[OX_SPACE_NUMBER(s->profile->frames[frame].space)];
    if (!naming_apply(s->profile, frame, m, a))
        name_by_place(s, frame, m);
}

/* "vfs_read", of the module "[kernel]" or "[ext4]". */
static void name_in_kernel(struct session *s, uint32_t frame, const struct namer_answer *a)
{
    if (a->rc <= 0) {
        name_plainly(s, frame, KIND_KERNEL, 0, "[kernel]");
        return;
    }
    struct profile_line line = {.function = put(s, a->lines[0].name),
                                .linkage_name = put(s, a->lines[0].linkage_name)};
    OX_FREE char *name = mem_printf("[%s]", a->lines[0].file ? a->lines[0].file : "kernel");
    profile_name(s->profile, frame, KIND_KERNEL, profile_module(s->profile, name, name, ""), &line,
                 1);
}

static void use_answer(struct session *s, const struct namer_answer *a)
{
    uint32_t frame = (uint32_t)a->tag;
    if (frame == PROFILE_NO_FRAME)
        return; /* of naming_prepare() */
    if (OX_SPACE_KIND(s->profile->frames[frame].space) == SPACE_JIT)
        name_plainly(s, frame, KIND_JIT, 0, a->text);
    else if (OX_SPACE_KIND(s->profile->frames[frame].space) == SPACE_KERNEL)
        name_in_kernel(s, frame, a);
    else
        name_in_module(s, frame, a);
}

static void ask_jit(struct session *s, uint32_t frame)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    const struct target *t = s->targets[OX_SPACE_NUMBER(f->space)];
    const char *name = t->perfmap ? perfmap_find(t->perfmap, f->address) : NULL;
    if (name)
        namer_ask_demangled(s->namer, name, frame);
    else
        name_plainly(s, frame, KIND_JIT, 0, "[jit]");
}

/* Known since it was sampled. Rows are told apart by the function's first line. */
static void name_python(struct session *s, uint32_t frame)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    const struct python_function *function = &s->python_names.items[OX_SPACE_NUMBER(f->space)];
    struct profile_line line = {.function =
                                    put(s, intern_get(s->python_names.strings, function->name)),
                                .file = put(s, intern_get(s->python_names.strings, function->file)),
                                .line = (uint32_t)f->address,
                                .start_line = function->first_line};
    profile_name(s->profile, frame, KIND_PYTHON, 0, &line, 1);
}

static void name_special(struct session *s, uint32_t frame)
{
    static const char *const texts[] = {
        [SPECIAL_UNWIND_FAILED] = "[unwind failed]",
        [SPECIAL_NOT_STOPPED] = "[not stopped]",
        [SPECIAL_NO_PYTHON] = "[no Python frame]",
        [SPECIAL_WAITING_FOR_GIL] = "[waiting for the GIL]",
        [SPECIAL_NOT_COUNTED] = "[not counted]",
        [SPECIAL_WAITING_FOR_CPU] = "[waiting for a CPU]",
        [SPECIAL_IN_KERNEL] = "[kernel]",
    };
    uint64_t which = s->profile->frames[frame].address;
    enum frame_kind kind = KIND_UNKNOWN;
    if (which == SPECIAL_WAITING_FOR_GIL)
        kind = KIND_PYTHON;
    else if (which == SPECIAL_WAITING_FOR_CPU || which == SPECIAL_IN_KERNEL)
        kind = KIND_KERNEL;
    name_plainly(s, frame, kind, 0, texts[which]);
}

/* "[read: /var/lib/x.db]": what the kernel does for the thread. */
static void name_wait(struct session *s, uint32_t frame)
{
    struct profile_frame *f = &s->profile->frames[frame];
    bool python = OX_WAIT_KIND(OX_SPACE_NUMBER(f->space)) == WAIT_PYTHON;
    f->wait = waits_text(s, frame);
    OX_FREE char *text = mem_printf("[%s]", intern_get(s->profile->strings, f->wait));
    name_plainly(s, frame, python ? KIND_PYTHON : KIND_KERNEL, 0, text);
}

static void ask_for_frame(struct session *s, uint32_t frame)
{
    const struct profile_frame *f = &s->profile->frames[frame];
    switch (OX_SPACE_KIND(f->space)) {
    case SPACE_SPECIAL:
        name_special(s, frame);
        break;
    case SPACE_WAIT:
        name_wait(s, frame);
        break;
    case SPACE_MODULE:
        namer_ask(s->namer, s->modules.items[OX_SPACE_NUMBER(f->space)], f->address, frame);
        break;
    case SPACE_JIT:
        ask_jit(s, frame);
        break;
    case SPACE_KERNEL:
        namer_ask_kernel(s->namer, f->address, frame);
        break;
    case SPACE_PYTHON:
        name_python(s, frame);
        break;
    default:
        name_plainly(s, frame, KIND_UNKNOWN, 0, "unknown");
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

/* Below a root that is ours, symbols has looked. */
static bool has_own_root(const struct target *t)
{
    struct stat ours, theirs;
    return t->live && stat("/", &ours) == 0 && fstat(t->process.root_fd, &theirs) == 0 &&
           (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino);
}

/* Of whichever target has such a file: symbols compares its build-id or CRC. In the namer's
 * process.
 */
int naming_open_in_target(void *session, const struct module *m, const char *path)
{
    const struct session *s = session;
    struct stat st;
    (void)m;
    for (size_t i = 0; i < s->n_targets; i++) {
        int fd = has_own_root(s->targets[i]) ? process_open_file(&s->targets[i]->process, path, &st)
                                             : -ENOENT;
        if (fd >= 0)
            return fd;
    }
    return -ENOENT;
}

static void warn_of_troubles(struct session *s)
{
    char text[600];
    for (size_t i = 0; namer_trouble(s->namer, i, text, sizeof(text)); i++)
        session_warn(s, "%s", text);
}

static bool is_jit(const struct session *s, size_t frame)
{
    return OX_SPACE_KIND(s->profile->frames[frame].space) == SPACE_JIT;
}

/* The maps of those that have one grow while they run, and addresses are used again. */
static void ask_jit_again(struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live)
            naming_keep_perfmap(s, s->targets[i]);
    for (size_t i = PROFILE_NO_FRAME + 1; i < s->frames_asked; i++)
        if (is_jit(s, i))
            ask_for_frame(s, (uint32_t)i);
    s->jit_asked = true;
}

/* Threads that others wait for may have got other names. */
static void name_waits_again(struct session *s)
{
    for (size_t i = PROFILE_NO_FRAME + 1; i < s->frames_asked; i++)
        if (OX_SPACE_KIND(s->profile->frames[i].space) == SPACE_WAIT)
            name_wait(s, (uint32_t)i);
}

static void ask_new(struct session *s, size_t end)
{
    size_t first = s->frames_asked ? s->frames_asked : PROFILE_NO_FRAME + 1;
    for (size_t i = first; i < end; i++) {
        s->jit_is_new |= is_jit(s, i);
        ask_for_frame(s, (uint32_t)i);
    }
    s->frames_asked = end > first ? end : first;
}

void naming_resolve(struct session *s)
{
    struct namer_answer answer;
    size_t n = s->profile->n_frames; /* what is collected meanwhile may bring more */
    ask_jit_again(s);
    name_waits_again(s);
    ask_new(s, n);
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

/* Answers come in the order of asking, and frames are asked about in theirs, but for JIT code that
 * is asked about again: that waits until nothing else is asked. */
static void take_answers(struct session *s, size_t most)
{
    struct namer_answer answer;
    for (size_t i = 0; i < most && namer_take(s->namer, &answer); i++) {
        use_answer(s, &answer);
        if (answer.tag >= s->frames_named)
            s->frames_named = answer.tag + 1;
    }
    if (!namer_pending(s->namer))
        s->frames_named = s->frames_asked;
}

/* One address of it is asked about: its debug information is found, unpacked and indexed. */
static void prepare_module(struct session *s, const struct module *m, uint64_t vaddr)
{
    if (m->file_bytes < PREPARE_MIN_BYTES || map_find(&s->modules_prepared, m->id, 0))
        return;
    map_put(&s->modules_prepared, m->id, 0, 1);
    namer_ask(s->namer, m, vaddr, PROFILE_NO_FRAME);
}

/* Not from the start: at first there are new modules all the time, for each of which the process
 * would have to begin anew. */
void naming_prepare(struct session *s, uint64_t now)
{
    if (!s->prepared_ns)
        s->prepared_ns = now;
    if (now - s->prepared_ns < prepare_every_ns)
        return;
    s->prepared_ns = now;
    for (; s->frames_prepared < s->profile->n_frames; s->frames_prepared++) {
        const struct profile_frame *f = &s->profile->frames[s->frames_prepared];
        if (OX_SPACE_KIND(f->space) == SPACE_MODULE)
            prepare_module(s, s->modules.items[OX_SPACE_NUMBER(f->space)], f->address);
    }
    if (namer_pending(s->namer))
        take_answers(s, PREPARED_MOST);
}

bool naming_new(struct session *s, size_t most)
{
    size_t left = s->profile->n_frames - s->frames_asked;
    uint64_t now = clock_now_ns();
    take_answers(s, most);
    bool idle = !namer_pending(s->namer), renamed = idle && s->jit_asked;
    if (renamed)
        s->jit_asked = false;
    if (idle && s->jit_is_new && now - s->jit_named_ns >= jit_again_ns) {
        s->jit_named_ns = now;
        s->jit_is_new = false;
        ask_jit_again(s);
    } else if (!s->jit_asked && namer_pending(s->namer) < QUESTIONS_MAX) {
        ask_new(s, s->frames_asked + (left < most ? left : most));
    }
    if (namer_pending(s->namer))
        take_answers(s, most);
    return renamed;
}
