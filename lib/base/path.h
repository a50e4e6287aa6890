/* SPDX-License-Identifier: MIT */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <stddef.h>

/* What a file is called: behind the last slash, without the " (deleted)" that the kernel puts
 * behind removed files in maps (d_path()). Borrowed, *ret_len bytes of it; never empty where path
 * is not. */
const char *path_name(const char *path, size_t *ret_len);

#endif
