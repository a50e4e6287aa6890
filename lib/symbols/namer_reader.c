/* SPDX-License-Identifier: MIT */
#include "symbols/namer_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    NAMES_MAX_BYTES = 64 << 20,
    FRAME_MAX_BYTES = NAMER_STRING_MAX_BYTES,
    RECEIVE_BYTES = 64 * 1024,
    IN_BYTES = sizeof(struct namer_head) + FRAME_MAX_BYTES + RECEIVE_BYTES,
};

void namer_reader_init(struct namer_reader *r)
{
    memset(r, 0, sizeof(*r));
    r->strings = intern_new(NAMES_MAX_BYTES);
    r->in = mem_alloc(IN_BYTES);
}

void namer_reader_release(struct namer_reader *r)
{
    intern_free(r->strings);
    free(r->in);
    free(r->numbers);
}

void namer_reader_reset(struct namer_reader *r)
{
    r->in_done = r->in_bytes = r->n_numbers = 0;
}

uint8_t *namer_reader_room(struct namer_reader *r, size_t *ret_bytes)
{
    memmove(r->in, r->in + r->in_done, r->in_bytes - r->in_done);
    r->in_bytes -= r->in_done;
    r->in_done = 0;
    *ret_bytes = IN_BYTES - r->in_bytes;
    return r->in + r->in_bytes;
}

void namer_reader_put(struct namer_reader *r, size_t bytes)
{
    r->in_bytes += bytes;
}

static const char *string_of(const struct namer_reader *r, uint32_t number)
{
    return number && number <= r->n_numbers ? intern_get(r->strings, r->numbers[number - 1]) : NULL;
}

static int take_string(struct namer_reader *r, const uint8_t *text, size_t bytes)
{
    if (r->n_numbers == NAMER_STRINGS_MAX)
        return -EBADMSG;
    r->numbers = mem_grow(r->numbers, &r->numbers_cap, r->n_numbers + 1, sizeof(*r->numbers));
    r->numbers[r->n_numbers++] = intern_put_n(r->strings, (const char *)text, bytes);
    return 0;
}

static int take_line(struct namer_reader *r, const uint8_t *from, struct symbol_line *ret)
{
    struct namer_line line;
    memcpy(&line, from, sizeof(line));
    if (!line.name || !line.linkage_name || line.name > r->n_numbers ||
        line.linkage_name > r->n_numbers || line.file > r->n_numbers)
        return -EBADMSG;
    *ret = (struct symbol_line){.name = string_of(r, line.name),
                                .linkage_name = string_of(r, line.linkage_name),
                                .file = string_of(r, line.file),
                                .line = line.line,
                                .start_line = line.start_line};
    return 0;
}

static bool is_sound(const struct namer_reader *r, const struct namer_expected *expected,
                     const struct namer_result *result, size_t bytes)
{
    if (!expected->asked || result->number != expected->number ||
        result->n_lines > SYMBOL_LINES_MAX ||
        bytes != sizeof(*result) + result->n_lines * sizeof(struct namer_line))
        return false;
    if (expected->kind != NAMER_LINES && expected->kind != NAMER_KERNEL)
        return result->text && result->text <= r->n_numbers && !result->rc && !result->n_lines;
    return !result->text && (result->rc > 0 ? result->n_lines == (uint32_t)result->rc
                                            : result->rc < 0 && !result->n_lines);
}

static uint64_t more(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* 1, or -EBADMSG. */
static int take_result(struct namer_reader *r, const struct namer_expected *expected,
                       const uint8_t *from, size_t bytes, struct namer_answer *ret)
{
    struct namer_result result;
    if (bytes < sizeof(result))
        return -EBADMSG;
    memcpy(&result, from, sizeof(result));
    if (!is_sound(r, expected, &result, bytes))
        return -EBADMSG;
    for (uint32_t i = 0; i < result.n_lines; i++)
        if (take_line(r, from + sizeof(result) + i * sizeof(struct namer_line), &r->lines[i]) < 0)
            return -EBADMSG;
    r->tables_cut = more(r->tables_cut, result.tables_cut);
    r->lines_cut = more(r->lines_cut, result.lines_cut);
    r->names_folded = more(r->names_folded, result.names_folded);
    *ret =
        (struct namer_answer){.rc = result.rc >= 0 || result.rc == -ENODATA ? result.rc : -EBADMSG,
                              .lines = r->lines,
                              .text = result.text ? string_of(r, result.text) : ""};
    return 1;
}

int namer_reader_next(struct namer_reader *r, const struct namer_expected *expected,
                      struct namer_answer *ret)
{
    struct namer_head head;
    int rc = 0;
    while (rc == 0 && r->in_bytes - r->in_done >= sizeof(head)) {
        const uint8_t *from = r->in + r->in_done + sizeof(head);
        memcpy(&head, r->in + r->in_done, sizeof(head));
        if (head.bytes > FRAME_MAX_BYTES)
            return -EBADMSG;
        if (r->in_bytes - r->in_done - sizeof(head) < head.bytes)
            break;
        r->in_done += sizeof(head) + head.bytes;
        if (head.frame == NAMER_STRING)
            rc = take_string(r, from, head.bytes);
        else
            rc = head.frame == NAMER_ANSWER ? take_result(r, expected, from, head.bytes, ret)
                                            : -EBADMSG;
    }
    return rc;
}
