/* SPDX-License-Identifier: MIT */
#include "symbols/kallsyms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"

enum { TEXT_MAX_BYTES = 64 << 20, FUNCTIONS_MAX = 1 << 20, LOOK_BYTES = 4096 };

struct function {
    uint64_t addr;
    uint32_t name, module; /* in the text; 0: none */
    uint8_t rank;          /* of its type: the lowest is the best */
};

struct kallsyms {
    char *text;             /* owned; a zero byte, then the lines, each name terminated */
    struct function *items; /* owned; sorted, no two at the same place */
    size_t n, cap;
};

static size_t underscores(const char *name)
{
    return strspn(name, "_");
}

/* Where code ends, and nothing that runs begins (asm-generic/sections.h). */
static bool is_end(const char *name)
{
    return !strcmp(name, "_etext") || !strcmp(name, "_einittext");
}

static int sign_of(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare(const void *va, const void *vb, void *text)
{
    const struct function *a = va, *b = vb;
    const char *s = (char *)text + a->name, *t = (char *)text + b->name;
    int order = sign_of(a->addr, b->addr);
    order = order ? order : sign_of(!is_end(s), !is_end(t));
    order = order ? order : sign_of(underscores(s), underscores(t));
    order = order ? order : sign_of(a->rank, b->rank);
    order = order ? order : sign_of(strlen(s), strlen(t));
    return order ? order : strcmp(s, t);
}

/* "ffffffffc0401000 t ext4_file_read\t[ext4]" */
static bool parse_line(struct kallsyms *k, char *s, char *end)
{
    static const char types[] = "TWwt"; /* best first */
    struct function f = {0};
    const char *at = s;
    if (s == end || *s == ' ' || !parse_number_at(&at, end, 16, &f.addr) || !f.addr)
        return false;
    s += at - s;
    if (end - s < 4 || s[0] != ' ' || s[2] != ' ' || memchr(s, '\0', (size_t)(end - s)))
        return false;
    const char *type = strchr(types, s[1]);
    char *name = s + 3, *tab = memchr(name, '\t', (size_t)(end - name));
    if (!type || name == end || name == tab || k->n == FUNCTIONS_MAX)
        return false;
    f.rank = (uint8_t)(type - types);
    f.name = (uint32_t)(name - k->text);
    if (tab && end - tab > 3 && tab[1] == '[' && end[-1] == ']') {
        f.module = (uint32_t)(tab + 2 - k->text);
        end[-1] = '\0';
    }
    *(tab ? tab : end) = '\0';
    k->items = mem_grow(k->items, &k->cap, k->n + 1, sizeof(*k->items));
    k->items[k->n++] = f;
    return true;
}

static void sort(struct kallsyms *k)
{
    size_t kept = 0;
    if (k->n)
        qsort_r(k->items, k->n, sizeof(*k->items), compare, k->text);
    for (size_t i = 0; i < k->n; i++)
        if (!kept || k->items[i].addr != k->items[kept - 1].addr)
            k->items[kept++] = k->items[i];
    k->n = kept;
}

struct kallsyms *kallsyms_parse(const char *text, size_t bytes)
{
    struct kallsyms *k = mem_alloc(sizeof(*k));
    if (bytes > TEXT_MAX_BYTES)
        bytes = TEXT_MAX_BYTES;
    k->text = mem_alloc(bytes + 2);
    k->text[0] = '\0';
    if (bytes)
        memcpy(k->text + 1, text, bytes);
    char *end = k->text + 1 + bytes;
    *end = '\0';
    for (char *s = k->text + 1; s < end;) {
        char *line_end = memchr(s, '\n', (size_t)(end - s));
        line_end = line_end ? line_end : end;
        parse_line(k, s, line_end);
        s = line_end + 1;
    }
    sort(k);
    return k;
}

void kallsyms_free(struct kallsyms *k)
{
    if (!k)
        return;
    free(k->items);
    free(k->text);
    free(k);
}

/* Up to so many bytes of it, in a text of the caller's. */
static size_t read_some(char **ret_text, size_t most)
{
    size_t n = 0, cap = 0;
    ssize_t got = 1;
    char *text = NULL;
    int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && n < most && (got > 0 || (got < 0 && errno == EINTR))) {
        text = mem_grow(text, &cap, n + LOOK_BYTES, 1);
        got = read(fd, text + n, cap - n < most - n ? cap - n : most - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    *ret_text = text;
    return n;
}

/* Before the functions there may be some variables whose place in each CPU's memory is near 0. */
bool kallsyms_shown(void)
{
    bool shown = false;
    char *text;
    size_t bytes = read_some(&text, LOOK_BYTES);
    for (const char *s = text, *end = text + bytes; s && s < end && !shown;) {
        const char *line_end = memchr(s, '\n', (size_t)(end - s)), *at = s;
        uint64_t addr;
        shown = parse_number_at(&at, end, 16, &addr) && addr;
        s = line_end ? line_end + 1 : end;
    }
    free(text);
    return shown;
}

struct kallsyms *kallsyms_read(void)
{
    char *text;
    size_t bytes = read_some(&text, TEXT_MAX_BYTES);
    struct kallsyms *k = kallsyms_parse(text, bytes);
    free(text);
    return k;
}

bool kallsyms_find(const struct kallsyms *k, uint64_t addr, struct kernel_symbol *ret)
{
    size_t low = 0, high = k->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (k->items[mid].addr <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    const struct function *f = low ? &k->items[low - 1] : NULL;
    if (!f || is_end(k->text + f->name))
        return false;
    *ret = (struct kernel_symbol){.name = k->text + f->name,
                                  .module = f->module ? k->text + f->module : NULL};
    return true;
}
