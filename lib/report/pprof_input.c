/* SPDX-License-Identifier: MIT */
#include "report/pprof_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

int input_malformed(struct input *in, const char *what)
{
    return error_set(in->err, -EBADMSG, "it is no saved profile, or a damaged one: %s", what);
}

int input_too_many(struct input *in, const char *what)
{
    return error_set(in->err, -E2BIG, "it is too large: too many %s", what);
}

bool input_text_is(const struct input *in, uint64_t string, const char *text)
{
    if (string >= in->n_strings)
        return !*text;
    const struct wire_in *s = &in->strings[string].text;
    return wire_left(s) == strlen(text) && !memcmp(s->at, text, strlen(text));
}

/* The string's number in the profile. */
uint32_t input_string(struct input *in, uint64_t string)
{
    if (!string || string >= in->n_strings)
        return 0;
    struct in_string *s = &in->strings[string];
    if (!s->known && wire_left(&s->text) > STRING_BYTES_MAX) {
        s->known = intern_put(in->p->strings, "[other]");
        in->p->names_folded++;
    }
    if (!s->known)
        s->known = intern_put_n(in->p->strings, (const char *)s->text.at, wire_left(&s->text));
    return s->known;
}

const char *input_text(struct input *in, uint64_t string)
{
    return intern_get(in->p->strings, input_string(in, string));
}

uint64_t input_text_number(const struct input *in, uint64_t string)
{
    char digits[24] = {0};
    uint64_t value;
    if (string >= in->n_strings || wire_left(&in->strings[string].text) >= sizeof(digits))
        return 0;
    memcpy(digits, in->strings[string].text.at, wire_left(&in->strings[string].text));
    return parse_u64(digits, &value) < 0 ? 0 : value;
}

const struct in_mapping *input_mapping(const struct input *in, uint64_t id)
{
    uint32_t hash = lookup_hash(&in->by_mapping, id, 0), i;
    for (size_t pos = 0; id && (i = lookup_next(&in->by_mapping, hash, &pos)) != LOOKUP_NONE;)
        if (in->mappings[i].id == id)
            return &in->mappings[i];
    return NULL;
}

const struct in_function *input_function(const struct input *in, uint64_t id)
{
    uint32_t hash = lookup_hash(&in->by_function, id, 0), i;
    for (size_t pos = 0; id && (i = lookup_next(&in->by_function, hash, &pos)) != LOOKUP_NONE;)
        if (in->functions[i].id == id)
            return &in->functions[i];
    return NULL;
}

struct in_location *input_location(const struct input *in, uint64_t id)
{
    uint32_t hash = lookup_hash(&in->by_location, id, 0), i;
    for (size_t pos = 0; id && (i = lookup_next(&in->by_location, hash, &pos)) != LOOKUP_NONE;)
        if (in->locations[i].id == id)
            return &in->locations[i];
    return NULL;
}

/* Numbers of a message go where `places` says; others are passed over. */
int input_numbers(struct input *in, struct wire_in message, uint64_t *const *places,
                  size_t n_places)
{
    struct wire_field f;
    while (wire_next(&message, &f))
        if (f.type == WIRE_VARINT && f.number < n_places && places[f.number])
            *places[f.number] = f.value;
    return message.bad ? input_malformed(in, "a field is cut") : 0;
}

void input_release(struct input *in)
{
    free(in->strings);
    free(in->mappings);
    free(in->functions);
    free(in->locations);
    free(in->lines);
    free(in->comments);
    free(in->stack);
    free(in->ids);
    free(in->named);
    lookup_release(&in->by_mapping);
    lookup_release(&in->by_function);
    lookup_release(&in->by_location);
}
