/* SPDX-License-Identifier: MIT */
/* The lists of sockets, and the memory around a futex: first byte which list; the rest its lines,
 * and a call with its words. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "target/locks.h"
#include "target/sockets.h"

static void describe_all(const struct sockets *s)
{
    char text[160];
    for (size_t i = 0; i < s->n; i++)
        if (!sockets_describe(s, s->items[i].inode, text, sizeof(text)) ||
            strlen(text) >= sizeof(text))
            abort();
}

static void read_lines(const char *text, size_t bytes, enum sockets_list list)
{
    struct sockets s = {0};
    for (const char *line = text, *end = text + bytes; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        sockets_take(&s, list, line, (size_t)(stop - line));
        line = stop + 1;
    }
    describe_all(&s);
    sockets_release(&s);
}

static void read_words(const uint8_t *data, size_t bytes)
{
    uint64_t args[6] = {0};
    uint32_t words[LOCK_WORDS] = {0};
    char text[160];
    size_t n = bytes < sizeof(args) ? bytes : sizeof(args), left = bytes - n;
    memcpy(args, data, n);
    left = left < sizeof(words) ? left : sizeof(words);
    memcpy(words, data + n, left);
    struct futex_call call = futex_call_of(args);
    for (enum lock_function f = FUNCTION_OTHER; f <= FUNCTION_RWLOCK; f++) {
        struct lock_state s = lock_state_of(&call, f, words, (unsigned)(left / sizeof(words[0])));
        if (s.kind == LOCK_NONE && s.holder)
            abort();
        (void)lock_words_addr(&call, f);
    }
    (void)lock_joined_addr(&call);
    (void)sockets_describe_address(data, bytes < 110 ? bytes : 110, text, sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!bytes)
        return 0;
    char *text = fuzz_text(data + 1, bytes - 1);
    read_lines(text, bytes - 1, (enum sockets_list)(data[0] % SOCKETS_LISTS));
    read_words(data + 1, bytes - 1);
    free(text);
    return 0;
}
