/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CALL_SITE_H
#define UNWIND_CALL_SITE_H

#include "unwind/pages.h"

/* What the bytes before a place say of it as one that a call returns to. */
enum call_site { CALL_NONE, CALL_INDIRECT, CALL_DIRECT };

/* ret_target, a vaddr, is set for CALL_DIRECT. */
enum call_site call_site_before(struct pages *p, struct module *m, uint64_t vaddr,
                                uint64_t *ret_target);

#endif
