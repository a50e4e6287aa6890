/* SPDX-License-Identifier: MIT */
#ifndef SESSION_NAMING_H
#define SESSION_NAMING_H

#include "profile/profile.h"
#include "symbols/namer.h"

/* What the namer says becomes names of the profile's frames. */

/* Index of the profile's module, added if new. */
uint32_t naming_module(struct profile *p, const struct module *m);

/* Names a native frame of m as the answer has it; false where it has nothing. */
bool naming_apply(struct profile *p, uint32_t frame, const struct module *m,
                  const struct namer_answer *a);

#endif
