/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_READER_H
#define SYMBOLS_NAMER_READER_H

#include "base/intern.h"
#include "symbols/namer.h"
#include "symbols/namer_wire.h"

/* Bytes from a namer's process become answers. Nothing that comes is trusted. */
struct namer_reader {
    struct intern *strings; /* owned; those of all processes */
    uint8_t *in;            /* owned */
    size_t in_done, in_bytes;
    uint32_t *numbers; /* owned; a string's number, less 1 -> its place in strings */
    size_t n_numbers, numbers_cap;
    struct symbol_line lines[SYMBOL_LINES_MAX];
    uint64_t tables_cut, lines_cut, names_folded; /* of the process that had the most */
};

/* What is expected: the answer to this question. */
struct namer_expected {
    enum namer_kind kind;
    uint64_t number;
    bool asked; /* false: no answer at all */
};

void namer_reader_init(struct namer_reader *r);
void namer_reader_release(struct namer_reader *r);

/* Another process: its strings have numbers of their own. */
void namer_reader_reset(struct namer_reader *r);

/* Where the next bytes are to be put, at least 64 KiB where the last namer_reader_next() gave 0;
 * then how many came. */
uint8_t *namer_reader_room(struct namer_reader *r, size_t *ret_bytes);
void namer_reader_put(struct namer_reader *r, size_t bytes);

/* 1 with the answer (without its tag), 0 where it has not come yet, -EBADMSG where what came is
 * none. */
int namer_reader_next(struct namer_reader *r, const struct namer_expected *expected,
                      struct namer_answer *ret);

#endif
