/* SPDX-License-Identifier: MIT */
#include "python/codes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "python/text.h"

void python_codes_init(struct python_codes *t, struct python_names *names)
{
    *t = (struct python_codes){.to = names, .epoch = 1};
}

void python_codes_forget(struct python_codes *t)
{
    for (size_t i = 0; i < t->n; i++)
        python_lines_release(&t->items[i].lines);
    t->n = t->lines_kept = 0;
    t->type = 0;
    map_release(&t->by_addr);
}

void python_codes_release(struct python_codes *t)
{
    python_codes_forget(t);
    free(t->items);
    t->items = NULL;
}

/* What a code object is made from, and never changes while it lives. */
struct header {
    uint64_t type, name, filename, lines;
    uint32_t first_line;
};

/* One code object under study. */
struct reading {
    struct python_codes *t;
    const struct python_moment *at;
    const struct python_layout *l;
    uint64_t addr;
    struct header h;
    bool used_now; /* not all of it was copied in that moment */
};

static int read_either(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    struct reading *r = arg;
    if (r->at->codes_copied && python_read(&r->at->then, dst, bytes, addr) == 0)
        return 0;
    r->used_now = true;
    return python_read(&r->at->now, dst, bytes, addr);
}

static int read_header(const struct reading *r, const struct python_memory *m, struct header *ret)
{
    uint8_t bytes[PYTHON_CODE_BYTES_MAX];
    const struct python_layout *l = r->l;
    if (python_read(m, bytes, l->code_bytes, r->addr) < 0)
        return -EFAULT;
    uint32_t name = l->code_qualname != OX_PYTHON_NONE ? l->code_qualname : l->code_name;
    ret->type = python_u64_at(bytes, l->object_type);
    ret->name = python_u64_at(bytes, name);
    ret->filename = python_u64_at(bytes, l->code_filename);
    ret->lines = python_u64_at(bytes, l->code_lines);
    ret->first_line = python_u32_at(bytes, l->code_firstlineno);
    return 0;
}

static uint64_t identity_of(const struct header *h)
{
    const uint64_t seed = 1;
    return map_hash(seed, map_hash(seed, h->name, h->filename),
                    map_hash(seed, h->lines, h->first_line));
}

/* The first that is called "code" is it: static data of the interpreter, so it stays where it is.
 */
static bool is_code(struct reading *r)
{
    char name[5];
    uint64_t text;
    if (r->t->type)
        return r->h.type == r->t->type;
    if (python_read_u64(&r->at->now, r->h.type + r->l->type_name, &text) < 0 ||
        python_read(&r->at->now, name, sizeof(name), text) < 0 ||
        memcmp(name, "code", sizeof(name)) != 0)
        return false;
    r->t->type = r->h.type;
    return true;
}

/* Is what lies there now what was read, in parts, a moment ago? */
static bool still_the_same(const struct reading *r)
{
    struct header h;
    return read_header(r, &r->at->now, &h) == 0 && h.type == r->h.type &&
           identity_of(&h) == identity_of(&r->h);
}

/* Of its size, and as much of the table as is copied of any. */
static uint64_t hash_lines(const struct reading *r, const struct python_memory *m)
{
    uint8_t table[PYTHON_PART_BYTES + 8] = {0};
    uint64_t bytes;
    if (python_read_u64(m, r->h.lines + r->l->bytes_size, &bytes) < 0)
        return 0;
    size_t n = r->l->bytes_data < PYTHON_PART_BYTES ? PYTHON_PART_BYTES - r->l->bytes_data : 0;
    if (bytes < n)
        n = bytes;
    if (n && python_read(m, table, n, r->h.lines + r->l->bytes_data) < 0)
        return 0;
    uint64_t hash = map_hash(1, bytes, n);
    for (size_t i = 0; i < n; i += 8)
        hash = map_hash(hash, python_u64_at(table, i), i);
    return hash;
}

static int read_lines(struct reading *r, const struct python_memory *m, struct python_code *code)
{
    uint64_t bytes;
    if (python_read_u64(m, r->h.lines + r->l->bytes_size, &bytes) < 0)
        return -EFAULT;
    if (bytes > PYTHON_LINE_BYTES_MAX)
        return -EBADMSG;
    uint8_t *table OX_FREE = mem_alloc(bytes + 1);
    if (bytes && python_read(m, table, bytes, r->h.lines + r->l->bytes_data) < 0)
        return -EFAULT;
    python_lines_decode(r->l->lines, table, bytes, code->first_line, &code->lines);
    return 0;
}

static int read_names(struct reading *r, const struct python_memory *m, struct python_code *code)
{
    char name[PYTHON_TEXT_BYTES_MAX], file[PYTHON_TEXT_BYTES_MAX];
    int rc = python_text(m, r->l, r->h.name, name);
    if (rc == 0)
        rc = python_text(m, r->l, r->h.filename, file);
    if (rc < 0)
        return rc;
    code->first_line = r->h.first_line <= INT32_MAX ? r->h.first_line : 0;
    code->function = python_names_put(r->t->to, name, file, code->first_line);
    code->identity = identity_of(&r->h);
    code->lines_hash = hash_lines(r, m);
    return 0;
}

static bool is_due(const struct python_codes *t, const struct python_code *code)
{
    enum { PART_OF_AGE = 8, LONGEST_NS = 250 * 1000 * 1000 };
    uint64_t gap = (t->now_ns - code->first_ns) / PART_OF_AGE;
    return t->now_ns - code->decoded_ns > (gap < LONGEST_NS ? gap : LONGEST_NS);
}

/* Decodes it anew, if that is not found to be needless on the way. */
static int decode(struct reading *r, struct python_code *code)
{
    struct python_memory m = {.read = read_either, .arg = r};
    struct python_codes *t = r->t;
    struct python_code fresh = {
        .addr = r->addr, .first_ns = t->now_ns, .decoded_ns = t->now_ns, .epoch = t->epoch};
    int rc = read_names(r, &m, &fresh);
    if (rc < 0)
        return rc;
    bool same = code->epoch && fresh.identity == code->identity &&
                fresh.function == code->function && fresh.lines_hash == code->lines_hash;
    rc = same ? 0 : read_lines(r, &m, &fresh);
    if (rc == 0 && r->used_now && !still_the_same(r))
        rc = -EAGAIN;
    if (rc < 0) {
        python_lines_release(&fresh.lines);
        return rc;
    }
    if (same) {
        code->decoded_ns = t->now_ns;
        code->epoch = t->epoch;
        return 0;
    }
    t->replaced += code->epoch != 0;
    t->fresh++;
    t->lines_kept += fresh.lines.n - code->lines.n;
    python_lines_release(&code->lines);
    *code = fresh;
    return 0;
}

static int renew(struct reading *r, struct python_code *code)
{
    const struct python_moment *at = r->at;
    if (!at->codes_copied || read_header(r, &at->then, &r->h) < 0) {
        if (at->codes_copied && at->whole)
            return -EFAULT;
        r->used_now = true;
        if (read_header(r, &at->now, &r->h) < 0)
            return -EFAULT;
    }
    if (!is_code(r))
        return -EBADMSG;
    if (!at->codes_copied && code->epoch && identity_of(&r->h) == code->identity &&
        !is_due(r->t, code)) {
        code->epoch = r->t->epoch;
        return 0;
    }
    return decode(r, code);
}

static struct python_code *keep(struct python_codes *t, const struct python_code *fresh)
{
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
    map_put(&t->by_addr, fresh->addr, 0, t->n);
    t->items[t->n] = *fresh;
    return &t->items[t->n++];
}

/* Most are no longer in use, then: those that are will be decoded again. */
static void flush_if_full(struct python_codes *t)
{
    if (t->n < PYTHON_CODES_MAX && t->lines_kept < PYTHON_CODE_LINES_MAX)
        return;
    uint64_t type = t->type;
    python_codes_forget(t);
    t->type = type;
    t->flushed++;
}

int python_codes_get(struct python_codes *t, const struct python_moment *at,
                     const struct python_layout *l, uint64_t addr,
                     const struct python_code **ret_code)
{
    struct reading r = {.t = t, .at = at, .l = l, .addr = addr};
    const uint64_t *place = map_find(&t->by_addr, addr, 0);
    if (!place)
        flush_if_full(t);
    struct python_code fresh = {.addr = addr}, *code = place ? &t->items[*place] : &fresh;
    int rc = place && code->epoch == t->epoch ? 0 : renew(&r, code);
    if (rc < 0)
        return rc;
    *ret_code = place ? code : keep(t, &fresh);
    return 0;
}
