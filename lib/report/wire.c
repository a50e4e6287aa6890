/* SPDX-License-Identifier: MIT */
#include "report/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { VARINT_BYTES_MAX = 10, FIELD_MAX = (1 << 29) - 1 };

void wire_release(struct wire_out *w)
{
    free(w->bytes);
    *w = (struct wire_out){0};
}

void wire_clear(struct wire_out *w)
{
    w->n = 0;
}

void wire_put(struct wire_out *w, uint64_t varint)
{
    w->bytes = mem_grow(w->bytes, &w->cap, w->n + VARINT_BYTES_MAX, 1);
    for (; varint >= 0x80; varint >>= 7)
        w->bytes[w->n++] = (uint8_t)(varint | 0x80);
    w->bytes[w->n++] = (uint8_t)varint;
}

void wire_number(struct wire_out *w, unsigned field, uint64_t value)
{
    if (!value)
        return;
    wire_put(w, (uint64_t)field << 3 | WIRE_VARINT);
    wire_put(w, value);
}

void wire_bytes(struct wire_out *w, unsigned field, const void *bytes, size_t n)
{
    wire_put(w, (uint64_t)field << 3 | WIRE_BYTES);
    wire_put(w, n);
    if (!n)
        return;
    w->bytes = mem_grow(w->bytes, &w->cap, w->n + n, 1);
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}

void wire_message(struct wire_out *w, unsigned field, const struct wire_out *message)
{
    wire_bytes(w, field, message->bytes, message->n);
}

size_t wire_left(const struct wire_in *in)
{
    return in->bad ? 0 : (size_t)(in->end - in->at);
}

static bool spoil(struct wire_in *in)
{
    in->bad = true;
    return false;
}

bool wire_varint(struct wire_in *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (!wire_left(in))
        return false;
    for (unsigned i = 0; i < VARINT_BYTES_MAX && in->at < in->end; i++) {
        uint8_t byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte & 0x80)
            continue;
        *ret_value = value;
        return true;
    }
    return spoil(in);
}

static bool take(struct wire_in *in, size_t n, struct wire_in *ret_part)
{
    if (n > wire_left(in))
        return spoil(in);
    *ret_part = (struct wire_in){.at = in->at, .end = in->at + n};
    in->at += n;
    return true;
}

/* Little endian, as we are. */
static bool take_fixed(struct wire_in *in, size_t n, uint64_t *ret_value)
{
    struct wire_in part;
    uint64_t value = 0;
    if (!take(in, n, &part))
        return false;
    memcpy(&value, part.at, n);
    *ret_value = value;
    return true;
}

bool wire_next(struct wire_in *in, struct wire_field *ret_field)
{
    struct wire_field f = {0};
    uint64_t tag, n;
    if (!wire_varint(in, &tag))
        return false;
    if (!(tag >> 3) || tag >> 3 > FIELD_MAX)
        return spoil(in);
    f.number = (unsigned)(tag >> 3);
    f.type = (enum wire_type)(tag & 7);
    *ret_field = f;
    switch (f.type) {
    case WIRE_VARINT:
        return wire_varint(in, &ret_field->value) || spoil(in);
    case WIRE_64:
        return take_fixed(in, 8, &ret_field->value);
    case WIRE_32:
        return take_fixed(in, 4, &ret_field->value);
    case WIRE_BYTES:
        return (wire_varint(in, &n) || spoil(in)) && take(in, n, &ret_field->inside);
    default: /* groups, which profile.proto never had */
        return spoil(in);
    }
}
