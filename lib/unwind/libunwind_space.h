/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_LIBUNWIND_SPACE_H
#define UNWIND_LIBUNWIND_SPACE_H

#include <libunwind-x86_64.h>

/* Exported by libunwind-x86_64 for debuggers, but in no header of its own. */
int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di,
                                       unw_proc_info_t *pi, int need_unwind_info, void *arg);

/* What differs from one user to the next, as in unw_accessors_t. */
struct libunwind_access {
    int (*find_proc_info)(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *pi, int need,
                          void *arg);
    int (*access_mem)(unw_addr_space_t space, unw_word_t addr, unw_word_t *word, int write,
                      void *arg);
    int (*access_reg)(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write,
                      void *arg);
};

/* An address space in which nothing can be written, resumed or registered at run time, without a
 * cache. Ends the program where there is no memory; to be freed by unw_destroy_addr_space(). */
unw_addr_space_t libunwind_space_new(const struct libunwind_access *access);

#endif
