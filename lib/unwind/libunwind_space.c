/* SPDX-License-Identifier: MIT */
#include "unwind/libunwind_space.h"

#include "base/error.h"

static int access_fpreg(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int write,
                        void *arg)
{
    (void)space, (void)reg, (void)value, (void)write, (void)arg;
    return -UNW_EBADREG;
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *pi, void *arg)
{
    (void)space, (void)pi, (void)arg;
}

static int no_dyn_info(unw_addr_space_t space, unw_word_t *addr, void *arg)
{
    (void)space, (void)addr, (void)arg;
    return -UNW_ENOINFO;
}

static int no_resume(unw_addr_space_t space, unw_cursor_t *cursor, void *arg)
{
    (void)space, (void)cursor, (void)arg;
    return -UNW_EINVAL;
}

unw_addr_space_t libunwind_space_new(const struct libunwind_access *access)
{
    unw_accessors_t accessors = {
        .find_proc_info = access->find_proc_info,
        .put_unwind_info = put_unwind_info,
        .get_dyn_info_list_addr = no_dyn_info,
        .access_mem = access->access_mem,
        .access_reg = access->access_reg,
        .access_fpreg = access_fpreg,
        .resume = no_resume,
    };
    unw_addr_space_t space = unw_create_addr_space(&accessors, 0);
    if (!space)
        die("out of memory");
    /* Under any other policy each look-up blocks and unblocks all signals: two system calls. */
    unw_set_caching_policy(space, UNW_CACHE_NONE);
    return space;
}
