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

static int read_header(const struct python_memory *m, const struct python_layout *l, uint64_t addr,
                       struct header *ret)
{
    uint8_t bytes[PYTHON_CODE_BYTES_MAX];
    if (python_read(m, bytes, l->code_bytes, addr) < 0)
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
static bool is_code(struct python_codes *t, const struct python_memory *m,
                    const struct python_layout *l, uint64_t type)
{
    char name[5];
    uint64_t text;
    if (t->type)
        return type == t->type;
    if (python_read_u64(m, type + l->type_name, &text) < 0 ||
        python_read(m, name, sizeof(name), text) < 0 || memcmp(name, "code", sizeof(name)) != 0)
        return false;
    t->type = type;
    return true;
}

static void read_lines(struct python_codes *t, const struct python_memory *m,
                       const struct python_layout *l, uint64_t addr, struct python_code *code)
{
    uint64_t bytes;
    if (python_read_u64(m, addr + l->bytes_size, &bytes) < 0 || bytes > PYTHON_LINE_BYTES_MAX)
        return;
    uint8_t *table OX_FREE = mem_alloc(bytes + 1);
    if (bytes && python_read(m, table, bytes, addr + l->bytes_data) < 0)
        return;
    python_lines_decode(l->lines, table, bytes, code->first_line, &code->lines);
    if (t->lines_kept + code->lines.n > PYTHON_CODE_LINES_MAX)
        python_lines_release(&code->lines);
    t->lines_kept += code->lines.n;
}

static int decode(struct python_codes *t, const struct python_memory *m,
                  const struct python_layout *l, const struct header *h, struct python_code *ret)
{
    char name[PYTHON_TEXT_BYTES_MAX], file[PYTHON_TEXT_BYTES_MAX];
    int rc = python_text(m, l, h->name, name);
    if (rc == 0)
        rc = python_text(m, l, h->filename, file);
    if (rc < 0)
        return rc;
    ret->first_line = h->first_line <= INT32_MAX ? h->first_line : 0;
    ret->function = python_names_put(t->to, name, file, ret->first_line);
    ret->identity = identity_of(h);
    read_lines(t, m, l, h->lines, ret);
    return 0;
}

static bool is_due(const struct python_codes *t, const struct python_code *code)
{
    enum { PART_OF_AGE = 8, LONGEST_NS = 250 * 1000 * 1000 };
    uint64_t gap = (t->now_ns - code->first_ns) / PART_OF_AGE;
    return t->now_ns - code->decoded_ns > (gap < LONGEST_NS ? gap : LONGEST_NS);
}

static int renew(struct python_codes *t, const struct python_memory *m,
                 const struct python_layout *l, struct python_code *code)
{
    struct header h;
    int rc = read_header(m, l, code->addr, &h);
    if (rc < 0)
        return rc;
    if (!is_code(t, m, l, h.type))
        return -EBADMSG;
    bool same = code->epoch && identity_of(&h) == code->identity;
    if (same && !is_due(t, code)) {
        code->epoch = t->epoch;
        return 0;
    }
    struct python_code fresh = {
        .addr = code->addr, .first_ns = t->now_ns, .decoded_ns = t->now_ns, .epoch = t->epoch};
    rc = decode(t, m, l, &h, &fresh);
    if (rc < 0)
        return rc;
    if (same && fresh.function == code->function) {
        fresh.first_ns = code->first_ns;
    } else {
        t->replaced += code->epoch != 0;
        t->fresh++;
    }
    t->lines_kept -= code->lines.n;
    python_lines_release(&code->lines);
    *code = fresh;
    return 0;
}

int python_codes_get(struct python_codes *t, const struct python_memory *m,
                     const struct python_layout *l, uint64_t addr,
                     const struct python_code **ret_code)
{
    const uint64_t *place = map_find(&t->by_addr, addr, 0);
    struct python_code fresh = {.addr = addr}, *code = place ? &t->items[*place] : &fresh;
    int rc = place && code->epoch == t->epoch ? 0 : renew(t, m, l, code);
    if (rc == 0 && !place) {
        if (t->n >= PYTHON_CODES_MAX) {
            t->lines_kept -= fresh.lines.n;
            python_lines_release(&fresh.lines);
            return -E2BIG;
        }
        t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
        map_put(&t->by_addr, addr, 0, t->n);
        t->items[t->n] = fresh;
        code = &t->items[t->n++];
    }
    if (rc == 0)
        *ret_code = code;
    return rc;
}
