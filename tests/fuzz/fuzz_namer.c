/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "symbols/namer_reader.h"

/* Every byte of an answer is read, as its user would. */
static size_t use(const struct namer_answer *a)
{
    size_t sum = strlen(a->text);
    for (int i = 0; i < a->rc; i++)
        sum += strlen(a->lines[i].name) + strlen(a->lines[i].linkage_name) +
               (a->lines[i].file ? strlen(a->lines[i].file) : 0) + a->lines[i].line;
    return sum;
}

/*
 * What a process that was taken over may say: the first byte tells what was asked (its low bits)
 * and how much comes at a time, the rest is what comes. Questions are numbered from 0.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct namer_reader r;
    struct namer_answer answer;
    if (!bytes)
        return 0;
    namer_reader_init(&r);
    struct namer_expected expected = {.kind = NAMER_LINES + (data[0] & 3) % 3, .asked = true};
    size_t piece = 1 + (size_t)(data[0] >> 2) * 64, sum = 0;
    int rc = 0;
    for (size_t done = 1; done < bytes && rc >= 0;) {
        size_t room, take = bytes - done < piece ? bytes - done : piece;
        uint8_t *at = namer_reader_room(&r, &room);
        if (room < take)
            abort();
        memcpy(at, data + done, take);
        namer_reader_put(&r, take);
        done += take;
        while ((rc = namer_reader_next(&r, &expected, &answer)) > 0) {
            sum += use(&answer);
            expected.number++;
            expected.kind = NAMER_LINES + (expected.kind + data[0]) % 3;
        }
    }
    namer_reader_release(&r);
    return sum == SIZE_MAX;
}
