/* SPDX-License-Identifier: MIT */
#include "python/thread_names.h"

#include <errno.h>

#include "python/attributes.h"
#include "python/text.h"

enum { NAMES_MAX = 1024 };

struct naming {
    const struct python_memory *m;
    const struct python_layout *l;
    void (*found)(void *arg, uint64_t ident, const char *name);
    void *arg;
    size_t n;
};

static bool name_one(void *arg, uint64_t key, uint64_t value)
{
    struct naming *n = arg;
    char text[PYTHON_TEXT_BYTES_MAX];
    uint64_t ident, name;
    if (python_int(n->m, n->l, key, &ident) == 0 &&
        python_attribute(n->m, n->l, value, "_name", &name) == 0 &&
        python_text(n->m, n->l, name, text) == 0)
        n->found(n->arg, ident, text);
    return ++n->n < NAMES_MAX;
}

/* sys.modules['threading'].__dict__['_active'], of the first interpreter. */
static int find_active(const struct python_memory *m, const struct python_runtime *r, uint64_t *ret)
{
    const struct python_layout *l = &r->layout;
    uint64_t interp, next, modules, module = 0, dict = 0;
    if (python_read_u64(m, r->addr + l->runtime_interpreters, &interp) < 0)
        return -EFAULT;
    for (size_t i = 0; i < PYTHON_INTERPRETERS_MAX; i++) { /* new ones come first in the list */
        if (python_read_u64(m, interp + l->interp_next, &next) < 0 || !next)
            break;
        interp = next;
    }
    if (python_read_u64(m, interp + l->interp_modules, &modules) < 0)
        return -EFAULT;
    int rc = python_dict_get(m, l, modules, "threading", &module);
    if (rc == 0 && python_read_u64(m, module + l->module_dict, &dict) < 0)
        rc = -EFAULT;
    return rc < 0 ? rc : python_dict_get(m, l, dict, "_active", ret);
}

int python_thread_names(const struct python_memory *m, const struct python_runtime *r,
                        uint64_t *dict, void (*found)(void *arg, uint64_t ident, const char *name),
                        void *arg)
{
    struct naming n = {.m = m, .l = &r->layout, .found = found, .arg = arg};
    if (!*dict) {
        int rc = find_active(m, r, dict);
        if (rc < 0)
            return rc;
    }
    return python_dict_each(m, &r->layout, *dict, name_one, &n);
}
