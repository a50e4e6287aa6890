/* SPDX-License-Identifier: MIT */
#include "python/attributes.h"

#include <errno.h>
#include <string.h>

#include "python/text.h"

/*
 * struct _dictkeysobject: Objects/dict-common.h until 3.10, Include/internal/pycore_dict.h since.
 * Until 3.10: refcnt, size, lookup, usable, nentries, then the indices, of 1, 2, 4 or 8 bytes, and
 * entries of hash, key, value. Since 3.11 the logarithm of the indices' bytes stands at 9, the kind
 * of entries at 10, and all but those of kind 0 have no hash.
 */
struct keys {
    uint64_t entries, n;
    unsigned entry_bytes, key_off;
};

static int keys_of_3_10(const struct python_memory *m, uint64_t addr, struct keys *ret)
{
    uint64_t size, n;
    if (python_read_u64(m, addr + 8, &size) < 0 || python_read_u64(m, addr + 32, &n) < 0)
        return -EFAULT;
    unsigned width = size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= UINT32_MAX ? 4 : 8;
    *ret =
        (struct keys){.entries = addr + 40 + size * width, .n = n, .entry_bytes = 24, .key_off = 8};
    return 0;
}

static int keys_of(const struct python_memory *m, const struct python_layout *l, uint64_t addr,
                   struct keys *ret)
{
    uint8_t head[3];
    uint64_t n;
    if (l->minor <= 10)
        return keys_of_3_10(m, addr, ret);
    if (python_read(m, head, sizeof(head), addr + 8) < 0 || python_read_u64(m, addr + 24, &n) < 0)
        return -EFAULT;
    bool with_hash = head[2] == 0;
    *ret = (struct keys){.entries = addr + 32 + (UINT64_C(1) << (head[1] & 31)),
                         .n = n,
                         .entry_bytes = with_hash ? 24 : 16,
                         .key_off = with_hash ? 8 : 0};
    return 0;
}

/* struct _dictvalues: since 3.13 its sizes stand before the values. */
static uint64_t first_value(const struct python_layout *l, uint64_t values)
{
    return values + (l->minor >= 13 ? 8 : 0);
}

/* values: 0, or where the values of the keys lie. */
static int each(const struct python_memory *m, const struct python_layout *l, uint64_t keys_addr,
                uint64_t values, bool (*found)(void *arg, uint64_t key, uint64_t value), void *arg)
{
    struct keys keys;
    uint8_t entry[24];
    if (keys_of(m, l, keys_addr, &keys) < 0)
        return -EFAULT;
    for (uint64_t i = 0; i < keys.n && i < PYTHON_DICT_MAX; i++) {
        if (python_read(m, entry, keys.entry_bytes, keys.entries + i * keys.entry_bytes) < 0)
            return -EFAULT;
        uint64_t key = python_u64_at(entry, keys.key_off);
        uint64_t value = python_u64_at(entry, keys.key_off + 8);
        if (values && python_read_u64(m, first_value(l, values) + 8 * i, &value) < 0)
            return -EFAULT;
        if (key && value && !found(arg, key, value))
            return 0;
    }
    return 0;
}

int python_dict_each(const struct python_memory *m, const struct python_layout *l, uint64_t dict,
                     bool (*found)(void *arg, uint64_t key, uint64_t value), void *arg)
{
    uint64_t keys, values;
    if (python_read_u64(m, dict + l->dict_keys, &keys) < 0 ||
        python_read_u64(m, dict + l->dict_values, &values) < 0)
        return -EFAULT;
    return each(m, l, keys, values, found, arg);
}

struct wanted {
    const struct python_memory *m;
    const struct python_layout *l;
    const char *name;
    uint64_t value; /* 0: not found */
};

static bool is_wanted(void *arg, uint64_t key, uint64_t value)
{
    struct wanted *w = arg;
    char text[PYTHON_TEXT_BYTES_MAX];
    uint64_t length;
    if (python_read_u64(w->m, key + w->l->unicode_length, &length) < 0 ||
        length != strlen(w->name) || python_text(w->m, w->l, key, text) < 0 ||
        strcmp(text, w->name) != 0)
        return true;
    w->value = value;
    return false;
}

static int take(const struct wanted *w, int rc, uint64_t *ret_value)
{
    if (rc == 0 && !w->value)
        return -ENODATA;
    if (rc == 0)
        *ret_value = w->value;
    return rc;
}

int python_dict_get(const struct python_memory *m, const struct python_layout *l, uint64_t dict,
                    const char *name, uint64_t *ret_value)
{
    struct wanted w = {.m = m, .l = l, .name = name};
    return take(&w, python_dict_each(m, l, dict, is_wanted, &w), ret_value);
}

/* The dictionary of an instance, or 0 and where its values lie without one: _PyObject_GetDictPtr()
 * until 3.10, Include/internal/pycore_object.h since. */
static int storage_of(const struct python_memory *m, const struct python_layout *l, uint64_t object,
                      uint64_t type, uint64_t *ret_dict, uint64_t *ret_values)
{
    uint64_t off, dict, bytes;
    *ret_values = 0;
    if (l->minor <= 10)
        return python_read_u64(m, type + l->type_dictoffset, &off) < 0
                   ? -EFAULT
                   : python_read_u64(m, object + off, ret_dict);
    uint64_t place = object - (l->free_threaded ? 8 : 24);
    if (python_read_u64(m, place, &dict) < 0)
        return -EFAULT;
    *ret_dict = dict;
    if (l->minor == 11 && !dict)
        return python_read_u64(m, object - 32, ret_values);
    if (l->minor == 12 && (dict & 1)) {
        *ret_dict = 0;
        *ret_values = dict + 1;
    } else if (l->minor >= 13 && !dict) {
        if (python_read_u64(m, type + l->type_basicsize, &bytes) < 0)
            return -EFAULT;
        *ret_values = object + bytes;
    }
    return 0;
}

int python_attribute(const struct python_memory *m, const struct python_layout *l, uint64_t object,
                     const char *name, uint64_t *ret_value)
{
    uint64_t type, dict, values, keys;
    struct wanted w = {.m = m, .l = l, .name = name};
    if (python_read_u64(m, object + l->object_type, &type) < 0 ||
        storage_of(m, l, object, type, &dict, &values) < 0)
        return -EFAULT;
    if (dict)
        return python_dict_get(m, l, dict, name, ret_value);
    if (!values || python_read_u64(m, type + l->heap_type_keys, &keys) < 0)
        return -EFAULT;
    return take(&w, each(m, l, keys, values, is_wanted, &w), ret_value);
}

int python_int(const struct python_memory *m, const struct python_layout *l, uint64_t object,
               uint64_t *ret_value)
{
    /* 30 bits a digit; their number times eight since 3.12, with the sign below */
    uint64_t tag, value = 0;
    uint32_t digits[3];
    if (python_read_u64(m, object + l->long_tag, &tag) < 0)
        return -EFAULT;
    uint64_t n = l->minor >= 12 ? tag >> 3 : tag;
    if (n > 3 || python_read(m, digits, n * sizeof(*digits), object + l->long_digits) < 0)
        return -EFAULT;
    for (uint64_t i = n; i-- > 0;)
        value = value << 30 | (digits[i] & 0x3fffffff);
    *ret_value = value;
    return 0;
}
