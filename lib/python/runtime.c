/* SPDX-License-Identifier: MIT */
#include "python/runtime.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "python/attributes.h"

/* An interpreter that points to a thread state that points back to it. */
static int check(const struct python_memory *m, const struct python_runtime *r)
{
    const struct python_layout *l = &r->layout;
    uint64_t interp, thread, back;
    if (python_read_u64(m, r->addr + l->runtime_interpreters, &interp) < 0)
        return -EFAULT;
    if (!interp)
        return -EAGAIN;
    if (python_read_u64(m, interp + l->interp_threads, &thread) < 0)
        return -EBADMSG;
    if (!thread)
        return -EAGAIN;
    if (python_read_u64(m, thread + l->thread_interp, &back) < 0 || back != interp)
        return -EBADMSG;
    return 0;
}

static int open_table(const struct python_memory *m, uint64_t addr, unsigned minor,
                      struct python_runtime *ret)
{
    const struct python_layout *table = python_layout_find(minor);
    if (!table)
        return -ENOTSUP;
    *ret = (struct python_runtime){.addr = addr, .layout = *table};
    return check(m, ret);
}

/* Is sys.hexversion, found by this layout, that of this layout? -EAGAIN where there is none yet. */
static int check_version(const struct python_memory *m, const struct python_runtime *r)
{
    const struct python_layout *l = &r->layout;
    uint64_t interp, modules, sys, dict, object, version;
    if (python_read_u64(m, r->addr + l->runtime_interpreters, &interp) < 0 ||
        python_read_u64(m, interp + l->interp_modules, &modules) < 0)
        return -EBADMSG;
    if (!modules)
        return -EAGAIN;
    if (python_dict_get(m, l, modules, "sys", &sys) < 0 ||
        python_read_u64(m, sys + l->module_dict, &dict) < 0 ||
        python_dict_get(m, l, dict, "hexversion", &object) < 0 ||
        python_int(m, l, object, &version) < 0)
        return -EBADMSG;
    return version >> 24 == 3 && (version >> 16 & 0xff) == l->minor ? 0 : -EBADMSG;
}

/* -EAGAIN: of some it can't be said yet. */
static int try_tables(const struct python_memory *m, uint64_t addr, struct python_runtime *ret,
                      unsigned *ret_minor)
{
    int result = -EBADMSG;
    for (unsigned minor = 8; minor <= 12; minor++) {
        int rc = open_table(m, addr, minor, ret);
        if (rc == 0)
            rc = check_version(m, ret);
        if (rc == 0)
            *ret_minor = minor;
        if (rc == 0 || rc == -EFAULT)
            return rc;
        result = rc == -EAGAIN ? rc : result;
    }
    return result;
}

int python_runtime_open(const struct python_memory *m, uint64_t addr, unsigned hint,
                        struct python_runtime *ret, unsigned *ret_minor)
{
    *ret = (struct python_runtime){.addr = addr};
    *ret_minor = hint;
    int rc = python_layout_read(m, addr, &ret->layout, ret_minor);
    if (rc == 0)
        return check(m, ret);
    if (rc != -ENODATA)
        return rc;
    return hint ? open_table(m, addr, hint, ret) : try_tables(m, addr, ret, ret_minor);
}

static int add_thread(const struct python_memory *m, const struct python_layout *l, uint64_t addr,
                      uint64_t gil, struct python_thread *ret, uint64_t *ret_next)
{
    uint8_t bytes[PYTHON_THREAD_BYTES_MAX] = {0};
    uint32_t native = l->thread_native_id;
    uint32_t last = l->thread_id;
    if (native != OX_PYTHON_NONE && native > last)
        last = native;
    if (l->thread_next > last)
        last = l->thread_next;
    if (l->thread_interp > last)
        last = l->thread_interp;
    if (python_read(m, bytes, last + 8, addr) < 0)
        return -EFAULT;
    *ret = (struct python_thread){
        .addr = addr,
        .interp = python_u64_at(bytes, l->thread_interp),
        .native_id = native != OX_PYTHON_NONE ? python_u64_at(bytes, native) : 0,
        .pthread_addr = python_u64_at(bytes, l->thread_id),
        .gil = gil,
    };
    *ret_next = python_u64_at(bytes, l->thread_next);
    return 0;
}

static uint64_t gil_of(const struct python_memory *m, const struct python_runtime *r,
                       uint64_t interp)
{
    uint64_t gil = 0;
    if (r->layout.runtime_gil != OX_PYTHON_NONE)
        return r->addr + r->layout.runtime_gil;
    if (r->layout.free_threaded || r->layout.interp_gil == OX_PYTHON_NONE ||
        python_read_u64(m, interp + r->layout.interp_gil, &gil) < 0)
        return 0;
    return gil;
}

int python_runtime_threads(const struct python_memory *m, const struct python_runtime *r,
                           struct python_thread **ret_threads, size_t *ret_cap)
{
    const struct python_layout *l = &r->layout;
    uint64_t interp, thread;
    size_t n = 0;
    if (python_read_u64(m, r->addr + l->runtime_interpreters, &interp) < 0)
        return -EFAULT;
    for (size_t i = 0; interp; i++) {
        if (i == PYTHON_INTERPRETERS_MAX ||
            python_read_u64(m, interp + l->interp_threads, &thread) < 0)
            return -EFAULT;
        uint64_t gil = gil_of(m, r, interp);
        while (thread) {
            if (n == PYTHON_THREADS_MAX)
                return -EFAULT;
            *ret_threads = mem_grow(*ret_threads, ret_cap, n + 1, sizeof(**ret_threads));
            if (add_thread(m, l, thread, gil, &(*ret_threads)[n], &thread) < 0)
                return -EFAULT;
            if ((*ret_threads)[n++].interp != interp)
                return -EFAULT;
        }
        if (python_read_u64(m, interp + l->interp_next, &interp) < 0)
            return -EFAULT;
    }
    return (int)n;
}

int python_gil_holder(const struct python_memory *m, const struct python_runtime *r, uint64_t gil,
                      uint64_t *ret_thread)
{
    uint32_t locked;
    if (!gil)
        return -ENODATA;
    if (python_read_u64(m, gil + r->layout.gil_holder, ret_thread) < 0 ||
        python_read(m, &locked, sizeof(locked), gil + r->layout.gil_locked) < 0)
        return -EFAULT;
    if (locked != 1)
        *ret_thread = 0;
    return 0;
}
