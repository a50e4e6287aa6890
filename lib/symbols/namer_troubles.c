/* SPDX-License-Identifier: MIT */
#include "symbols/namer_troubles.h"

#include <stdio.h>

#include "base/escape.h"
#include "base/mem.h"

static struct namer_trouble *find(const struct namer_troubles *t, uint32_t module)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].module == module)
            return &t->items[i];
    return NULL;
}

enum namer_level namer_troubles_level(const struct namer_troubles *t, uint32_t module)
{
    const struct namer_trouble *one = find(t, module);
    if (t->general[0])
        return NAMER_NONE;
    return one ? one->level : NAMER_ALL;
}

void namer_troubles_blame(struct namer_troubles *t, uint32_t module, const char *how, bool hung)
{
    struct namer_trouble *one = find(t, module);
    if (!one) {
        t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
        one = &t->items[t->n++];
        *one = (struct namer_trouble){.module = module};
    }
    if (one->level < NAMER_NONE)
        one->level = hung && one->level < NAMER_OWN ? NAMER_OWN : one->level + 1;
    snprintf(one->how, sizeof(one->how), "%s", how);
}

void namer_troubles_give_up(struct namer_troubles *t, const char *how)
{
    snprintf(t->general, sizeof(t->general), "no more names: the process that looks them up %s",
             how);
}

static void describe(const struct namer_troubles *t, const struct namer_trouble *one, char *buf,
                     size_t buf_bytes)
{
    static const struct {
        const char *what, *reader;
    } texts[] = {
        [NAMER_TABLES] = {"neither lines nor inlined functions", "its debug information"},
        [NAMER_OWN] = {"no names but the file's own", "its debug files"},
        [NAMER_NONE] = {"no names", "its symbols"},
    };
    char name[256], shown[512];
    const struct module *m = t->modules->items[one->module];
    escape_text(shown, sizeof(shown), module_short_name(m, name, sizeof(name)), NULL);
    snprintf(buf, buf_bytes, "%s for %s: the reader of %s %s", texts[one->level].what, shown,
             texts[one->level].reader, one->how);
}

void namer_troubles_of(const struct namer_troubles *t, uint32_t module, char *buf, size_t buf_bytes)
{
    const struct namer_trouble *one = find(t, module);
    if (buf_bytes)
        buf[0] = '\0';
    if (one)
        describe(t, one, buf, buf_bytes);
}

bool namer_troubles_get(const struct namer_troubles *t, size_t i, char *buf, size_t buf_bytes)
{
    if (i < t->n)
        describe(t, &t->items[i], buf, buf_bytes);
    else if (i == t->n && t->general[0])
        snprintf(buf, buf_bytes, "%s", t->general);
    else
        return false;
    return true;
}
