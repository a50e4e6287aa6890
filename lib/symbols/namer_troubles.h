/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_TROUBLES_H
#define SYMBOLS_NAMER_TROUBLES_H

#include <stdbool.h>
#include <stddef.h>

#include "symbols/namer_wire.h"
#include "target/module.h"

/* A module that processes have died of. */
struct namer_trouble {
    uint32_t module;
    enum namer_level level;
    char how[80]; /* "crashed (SIGSEGV)" */
};

struct namer_troubles {
    const struct modules *modules; /* borrowed */
    struct namer_trouble *items;   /* owned */
    size_t n, cap;
    char general[160]; /* why there are no names at all; "" */
};

/* What may be read of a module. */
enum namer_level namer_troubles_level(const struct namer_troubles *t, uint32_t module);

/* A process has died of it: the next one reads less. What hangs is a file more often than a reader:
 * the next try is without any other file. */
void namer_troubles_blame(struct namer_troubles *t, uint32_t module, const char *how, bool hung);

/* From now on there are no names: "failed too often". */
void namer_troubles_give_up(struct namer_troubles *t, const char *how);

/* A sentence about the module; "" where all is well. */
void namer_troubles_of(const struct namer_troubles *t, uint32_t module, char *buf,
                       size_t buf_bytes);
/* The i-th sentence; false past the last. */
bool namer_troubles_get(const struct namer_troubles *t, size_t i, char *buf, size_t buf_bytes);

#endif
