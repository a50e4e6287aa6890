/* SPDX-License-Identifier: MIT */
#include "base/path.h"

#include <string.h>

const char *path_name(const char *path, size_t *ret_len)
{
    static const char deleted[] = " (deleted)";
    const size_t deleted_len = sizeof(deleted) - 1;
    const char *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path;
    size_t len = strlen(name);
    if (len > deleted_len && !strcmp(name + len - deleted_len, deleted))
        len -= deleted_len;
    *ret_len = len;
    return name;
}
