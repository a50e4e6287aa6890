/* SPDX-License-Identifier: MIT */
#ifndef REPORT_WIRE_H
#define REPORT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Protocol buffers' wire format (protobuf.dev/programming-guides/encoding): a message is a row of
 * fields, each a tag (number << 3 | type) and a value.
 */
enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* A message that grows. All zero is an empty one; wire_clear() keeps the memory. */
struct wire_out {
    uint8_t *bytes; /* owned */
    size_t n, cap;
};

void wire_release(struct wire_out *w);
void wire_clear(struct wire_out *w);
void wire_put(struct wire_out *w, uint64_t varint);
/* Fields; a number of 0 is left out, as proto3 has it. */
void wire_number(struct wire_out *w, unsigned field, uint64_t value);
void wire_bytes(struct wire_out *w, unsigned field, const void *bytes, size_t n);
void wire_message(struct wire_out *w, unsigned field, const struct wire_out *message);

/* Reads fields that others have written: hostile. All zero has nothing left. */
struct wire_in {
    const uint8_t *at, *end; /* borrowed */
    bool bad;                /* cut, or no field: stays so, and nothing follows */
};

struct wire_field {
    unsigned number;
    enum wire_type type;
    uint64_t value;        /* WIRE_VARINT, WIRE_64, WIRE_32 */
    struct wire_in inside; /* WIRE_BYTES */
};

/* False at the end, or where in->bad says so. */
bool wire_next(struct wire_in *in, struct wire_field *ret_field);

/* One varint of a packed field. */
bool wire_varint(struct wire_in *in, uint64_t *ret_value);

size_t wire_left(const struct wire_in *in);

#endif
