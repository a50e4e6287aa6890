/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "capture/snapfile.h"
#include "capture/snapfile_format.h"

enum {
    FILE_BYTES_MAX = 1024 * 1024 * 1024,
    READ_STEP_BYTES = 1024 * 1024,
    STRING_BYTES_MAX = 8192, /* of names and paths */
    MODULES_MAX = 65536,
    PROCESSES_MAX = 65536
};

/* A record's payload, while it is taken apart. Past its end everything is 0, and bad is set. */
struct source {
    const uint8_t *at, *end;
    bool bad;
};

static const uint8_t *take_bytes(struct source *s, uint64_t n)
{
    if (s->bad || n > (uint64_t)(s->end - s->at)) {
        s->bad = true;
        return NULL;
    }
    s->at += n;
    return s->at - n;
}

static uint32_t take_u32(struct source *s)
{
    uint32_t v = 0;
    const uint8_t *bytes = take_bytes(s, sizeof(v));
    if (bytes)
        memcpy(&v, bytes, sizeof(v));
    return v;
}

static uint64_t take_u64(struct source *s)
{
    uint64_t v = 0;
    const uint8_t *bytes = take_bytes(s, sizeof(v));
    if (bytes)
        memcpy(&v, bytes, sizeof(v));
    return v;
}

static uint32_t take_u32_below(struct source *s, uint32_t limit)
{
    uint32_t v = take_u32(s);
    s->bad |= v >= limit;
    return s->bad ? 0 : v;
}

/* Owned by the caller; NULL where there is none. */
static char *take_text(struct source *s)
{
    uint32_t n = take_u32(s);
    if (n == SNAPFILE_NONE)
        return NULL;
    const uint8_t *bytes = n <= STRING_BYTES_MAX ? take_bytes(s, n) : NULL;
    if (!bytes || memchr(bytes, '\0', n)) {
        s->bad = true;
        return NULL;
    }
    return mem_strndup((const char *)bytes, n);
}

static void *copy_bytes(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = mem_alloc(n);
    memcpy(copy, bytes, n);
    return copy;
}

static void take_pieces(struct source *s, struct module *m)
{
    uint32_t n = take_u32(s);
    uint64_t least = 0;
    size_t cap = 0;
    for (uint32_t i = 0; i < n && !s->bad; i++) {
        uint64_t off = take_u64(s), bytes = take_u64(s);
        if (off < least || off > m->file_bytes || bytes > m->file_bytes - off || !bytes)
            s->bad = true;
        const uint8_t *data = take_bytes(s, bytes);
        if (!data)
            return;
        least = off + bytes;
        m->pieces = mem_grow(m->pieces, &cap, m->n_pieces + 1, sizeof(*m->pieces));
        m->pieces[m->n_pieces++] =
            (struct module_piece){.off = off, .bytes = bytes, .data = copy_bytes(data, bytes)};
    }
}

static const char *take_module(struct source *s, struct snapfile *file)
{
    if (file->modules.n == MODULES_MAX)
        return "too many modules";
    uint64_t dev = take_u64(s), ino = take_u64(s), file_bytes = take_u64(s);
    OX_FREE char *path = take_text(s);
    (void)take_bytes(s, take_u32_below(s, MODULE_BUILD_ID_MAX + 1));
    if (s->bad || !path || file_bytes > INT64_MAX)
        return "a damaged module";
    struct module *m = modules_add(&file->modules, dev, ino, path);
    m->file_bytes = file_bytes;
    take_pieces(s, m);
    /* what is no ELF file stays in the table without segments, as it was when it was saved */
    if (!s->bad)
        (void)module_read_headers(m);
    return s->bad ? "a damaged module" : NULL;
}

static bool take_mapping(struct source *s, const struct snapfile *file, uint64_t least,
                         struct mapping *ret_mapping)
{
    struct mapping m = {.start = take_u64(s), .end = take_u64(s), .off = take_u64(s)};
    m.dev = take_u64(s);
    m.ino = take_u64(s);
    m.prot = take_u32_below(s, (PROT_READ | PROT_WRITE | PROT_EXEC) + 1);
    m.shared = take_u32_below(s, 2);
    uint32_t module = take_u32(s);
    if (s->bad || m.start < least || m.start >= m.end || m.off > UINT64_MAX - (m.end - m.start) ||
        (module != SNAPFILE_NONE && (module >= file->modules.n || !(m.prot & PROT_EXEC))))
        return false;
    m.module = module == SNAPFILE_NONE ? NULL : file->modules.items[module];
    m.path = take_text(s);
    *ret_mapping = m;
    return true;
}

static const char *take_process(struct source *s, struct snapfile *file)
{
    struct snapfile_process process = {.pid = (pid_t)take_u32_below(s, INT32_MAX)};
    uint32_t n = take_u32(s);
    uint64_t least = 0;
    if (file->n_processes == PROCESSES_MAX || snapfile_maps(file, process.pid))
        return "too many processes, or one twice";
    file->processes = mem_grow(file->processes, &file->cap_processes, file->n_processes + 1,
                               sizeof(*file->processes));
    file->processes[file->n_processes] = process;
    struct mappings *maps = &file->processes[file->n_processes++].maps;
    for (uint32_t i = 0; i < n && !s->bad; i++) {
        struct mapping m;
        if (!take_mapping(s, file, least, &m))
            return "a damaged mapping";
        least = m.end;
        if (!mappings_put(maps, &m))
            return "too many mappings";
    }
    return s->bad ? "a damaged mapping" : NULL;
}

static bool take_snapshot(struct source *s, struct snapshot *snap)
{
    snap->pid = (pid_t)take_u32_below(s, INT32_MAX);
    snap->tid = (pid_t)take_u32_below(s, INT32_MAX);
    snap->state = take_u32_below(s, STATE_N);
    snap->source = take_u32_below(s, SOURCE_N);
    snap->syscall = (int64_t)take_u64(s);
    snap->regs.known = take_u32_below(s, 1u << REGS_N);
    for (size_t i = 0; i < REGS_N; i++)
        snap->regs.value[i] = take_u64(s);
    snap->stack_addr = take_u64(s);
    snap->stack_cut = take_u32_below(s, 2);
    return !s->bad;
}

static const char *take_item(struct source *s, struct snapfile *file)
{
    struct snapfile_item item = {0};
    if (!take_snapshot(s, &item.snap))
        return "a damaged snapshot";
    file->items = mem_grow(file->items, &file->cap_items, file->n_items + 1, sizeof(*file->items));
    item.name = take_text(s);
    uint32_t n = take_u32_below(s, SNAPSHOT_STACK_MAX_BYTES + 1);
    const uint8_t *bytes = take_bytes(s, n);
    s->bad |= n > UINT64_MAX - item.snap.stack_addr;
    if (!s->bad && n) {
        item.stack = copy_bytes(bytes, n);
        item.snap.stack = item.stack;
        item.snap.stack_bytes = n;
    }
    if (!s->bad && s->at != s->end)
        item.wait = take_text(s);
    file->items[file->n_items++] = item;
    return s->bad ? "a damaged snapshot" : NULL;
}

static const char *take_shown(struct source *s, struct snapfile *file)
{
    struct snapfile_item *item = file->n_items ? &file->items[file->n_items - 1] : NULL;
    uint32_t n = take_u32_below(s, SNAPFILE_SHOWN_MAX + 1);
    if (s->bad || !item || item->shown)
        return "a damaged list of functions";
    item->shown = mem_alloc((n + 1) * sizeof(*item->shown));
    for (uint32_t i = 0; i < n && !s->bad; i++) {
        struct snapfile_shown *f = &item->shown[item->n_shown++];
        f->native = take_u32(s);
        f->function = take_text(s);
        f->file = take_text(s);
        f->first_line = take_u32_below(s, INT32_MAX);
        f->line = take_u32_below(s, INT32_MAX);
        s->bad |= f->native == SNAPFILE_NOT_NATIVE && !f->function;
    }
    return s->bad ? "a damaged list of functions" : NULL;
}

static const char *take_record(uint32_t kind, struct source *s, struct snapfile *file)
{
    const char *trouble = "a record of an unknown kind";
    if (kind == KIND_MODULE)
        trouble = take_module(s, file);
    else if (kind == KIND_MAPPINGS)
        trouble = take_process(s, file);
    else if (kind == KIND_SNAPSHOT)
        trouble = take_item(s, file);
    else if (kind == KIND_SHOWN)
        trouble = take_shown(s, file);
    else if (kind == KIND_END)
        trouble = NULL;
    return !trouble && s->at != s->end ? "a record longer than its contents" : trouble;
}

/* Memory grows with what is really there, not with what the length field claims. */
static bool payload_read(FILE *from, struct payload *p, uint64_t bytes)
{
    for (p->n = 0; p->n < bytes;) {
        size_t step = bytes - p->n < READ_STEP_BYTES ? (size_t)(bytes - p->n) : READ_STEP_BYTES;
        p->data = mem_grow(p->data, &p->cap, p->n + step, 1);
        if (fread(p->data + p->n, step, 1, from) != 1)
            return false;
        p->n += step;
    }
    return true;
}

/* 1 behind the last record, 0 before another one. */
static int record_read(FILE *from, struct payload *p, uint64_t *left, struct snapfile *file,
                       struct error *err)
{
    uint32_t kind;
    uint64_t bytes;
    if (fread(&kind, sizeof(kind), 1, from) != 1 || fread(&bytes, sizeof(bytes), 1, from) != 1)
        return error_set(err, -EBADMSG, "the snapshot file is cut off");
    if (bytes > *left - sizeof(kind) - sizeof(bytes))
        return error_set(err, -E2BIG, "the snapshot file is larger than 1 GiB, or damaged");
    *left -= sizeof(kind) + sizeof(bytes) + bytes;
    if (!payload_read(from, p, bytes))
        return error_set(err, -EBADMSG, "the snapshot file is cut off");
    struct source s = {.at = p->data, .end = p->data + p->n};
    const char *trouble = take_record(kind, &s, file);
    if (trouble)
        return error_set(err, -EBADMSG, "the snapshot file holds %s", trouble);
    if (kind == KIND_END && fgetc(from) != EOF)
        return error_set(err, -EBADMSG, "the snapshot file goes on behind its end");
    return kind == KIND_END;
}

int snapfile_read(FILE *from, struct snapfile *ret_file, struct error *err)
{
    char head[SNAPFILE_MAGIC_BYTES];
    struct snapfile file = {0};
    struct payload p = {.data = mem_alloc(1), .cap = 1};
    uint64_t left = FILE_BYTES_MAX;
    int rc = 0;
    if (fread(head, sizeof(head), 1, from) != 1 || memcmp(head, SNAPFILE_MAGIC, sizeof(head)) != 0)
        rc = error_set(err, -EBADMSG, "this is no snapshot file of this version");
    while (rc == 0)
        rc = left < 64 ? error_set(err, -E2BIG, "the snapshot file is larger than 1 GiB")
                       : record_read(from, &p, &left, &file, err);
    free(p.data);
    if (rc < 0) {
        snapfile_release(&file);
        return rc;
    }
    *ret_file = file;
    return 0;
}
