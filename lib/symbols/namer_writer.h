/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_WRITER_H
#define SYMBOLS_NAMER_WRITER_H

#include <stdbool.h>
#include <stddef.h>

#include "symbols/namer_wire.h"

/* Requests on their way to a namer's process. */
struct namer_writer {
    uint8_t *out; /* owned */
    size_t done, bytes, cap;
};

void namer_writer_release(struct namer_writer *w);
/* Another process. */
void namer_writer_reset(struct namer_writer *w);

/* No more of them before some have gone. */
bool namer_writer_is_full(const struct namer_writer *w);
/* r->text_bytes of text. */
void namer_writer_put(struct namer_writer *w, const struct namer_request *r, const char *text);
/* Sends what the socket takes now. That its other end is gone is noticed by who reads from it. */
void namer_writer_flush(struct namer_writer *w, int fd);

#endif
