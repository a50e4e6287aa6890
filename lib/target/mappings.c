/* SPDX-License-Identifier: MIT */
#include "target/mappings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/mem.h"
#include "base/parse.h"

/* The kernel gives up on names longer than the page it writes them to (fs/seq_file.c). */
enum { PATH_BYTES_MAX = 4096 };

static bool take_char(const char **p, const char *end, char c)
{
    if (*p == end || **p != c)
        return false;
    (*p)++;
    return true;
}

/* "00400000": a number right here, without blanks before it. */
static bool take_hex(const char **p, const char *end, uint64_t *ret_value)
{
    if (*p == end || **p == ' ' || **p == '\t')
        return false;
    return parse_number_at(p, end, 16, ret_value);
}

/* "r-xp" */
static bool take_prot(const char **p, const char *end, struct mapping *m)
{
    const char *s = *p;
    if (end - s < 4 || (s[3] != 'p' && s[3] != 's'))
        return false;
    static const unsigned bits[3] = {PROT_READ, PROT_WRITE, PROT_EXEC};
    for (int i = 0; i < 3; i++) {
        if (s[i] == "rwx"[i])
            m->prot |= bits[i];
        else if (s[i] != '-')
            return false;
    }
    m->shared = s[3] == 's';
    *p = s + 4;
    return true;
}

/* "fd:01 1234": the device as st_dev has it */
static bool take_file(const char **p, const char *end, struct mapping *m)
{
    uint64_t maj, min;
    if (!take_hex(p, end, &maj) || !take_char(p, end, ':') || !take_hex(p, end, &min) ||
        maj > UINT32_MAX || min > UINT32_MAX || !take_char(p, end, ' '))
        return false;
    m->dev = makedev((unsigned)maj, (unsigned)min);
    return parse_number_at(p, end, 10, &m->ino);
}

/* Linux escapes the newline, and nothing else, as \012 (fs/proc/task_mmu.c: seq_path(m, f, "\n")).
 */
static char *unescape(const char *s, size_t bytes)
{
    char *path = mem_alloc(bytes + 1), *to = path;
    for (const char *end = s + bytes; s < end;) {
        if (end - s >= 4 && !memcmp(s, "\\012", 4)) {
            *to++ = '\n';
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    return path;
}

static bool valid_path(const char *s, size_t bytes)
{
    return bytes <= PATH_BYTES_MAX && !memchr(s, '\0', bytes) && !memchr(s, '\n', bytes);
}

int mapping_parse(const char *line, size_t line_bytes, struct mapping *ret_mapping)
{
    struct mapping m = {0};
    const char *p = line, *end = line + line_bytes;
    if (!take_hex(&p, end, &m.start) || !take_char(&p, end, '-') || !take_hex(&p, end, &m.end) ||
        m.start >= m.end || !take_char(&p, end, ' ') || !take_prot(&p, end, &m) ||
        !take_char(&p, end, ' ') || !take_hex(&p, end, &m.off) || !take_char(&p, end, ' ') ||
        !take_file(&p, end, &m) || (p < end && *p != ' '))
        return -EBADMSG;
    /* off + length is computed all over: let it never wrap */
    if (m.off > UINT64_MAX - (m.end - m.start))
        return -EBADMSG;
    while (p < end && *p == ' ')
        p++;
    size_t bytes = (size_t)(end - p);
    if (!valid_path(p, bytes))
        return -EBADMSG;
    if (bytes)
        m.path = unescape(p, bytes);
    *ret_mapping = m;
    return 0;
}

void mappings_release(struct mappings *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->items[i].path);
    free(t->items);
    *t = (struct mappings){0};
}

/* The first that ends above addr; t->n if none does. */
static size_t first_above(const struct mappings *t, uint64_t addr)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->items[mid].end <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct mapping *mappings_find(const struct mappings *t, uint64_t addr)
{
    size_t i = first_above(t, addr);
    return i < t->n && t->items[i].start <= addr ? &t->items[i] : NULL;
}

static size_t path_bytes(const struct mapping *m)
{
    return m->path ? strlen(m->path) + 1 : 0;
}

static void insert_at(struct mappings *t, size_t i, struct mapping m)
{
    t->path_bytes += path_bytes(&m);
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
    memmove(&t->items[i + 1], &t->items[i], (t->n - i) * sizeof(*t->items));
    t->items[i] = m;
    t->n++;
}

static void remove_range(struct mappings *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        t->path_bytes -= path_bytes(&t->items[i]);
        free(t->items[i].path);
    }
    if (to > from)
        memmove(&t->items[from], &t->items[to], (t->n - to) * sizeof(*t->items));
    t->n -= to - from;
}

static void cut_head(struct mapping *m, uint64_t new_start)
{
    m->off += new_start - m->start;
    m->start = new_start;
}

/* A mapping that reaches across addr becomes two that meet there. */
static void split_at(struct mappings *t, uint64_t addr)
{
    size_t i = first_above(t, addr);
    if (i == t->n || t->items[i].start >= addr)
        return;
    struct mapping upper = t->items[i];
    upper.path = upper.path ? mem_strdup(upper.path) : NULL;
    cut_head(&upper, addr);
    t->items[i].end = addr;
    insert_at(t, i + 1, upper);
}

bool mappings_put(struct mappings *t, struct mapping *take)
{
    split_at(t, take->start);
    split_at(t, take->end);
    size_t from = first_above(t, take->start), to = from;
    while (to < t->n && t->items[to].start < take->end)
        to++;
    remove_range(t, from, to);
    bool room = t->n < MAPPINGS_MAX && t->path_bytes < MAPPINGS_PATH_BYTES_MAX;
    if (room)
        insert_at(t, from, *take);
    else
        free(take->path);
    *take = (struct mapping){0};
    return room;
}

bool mapping_vaddr(const struct mapping *m, uint64_t addr, uint64_t *ret_vaddr)
{
    if (!m->module || addr < m->start || addr >= m->end)
        return false;
    return module_vaddr_of_off(m->module, m->off + (addr - m->start), ret_vaddr);
}
