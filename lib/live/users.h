/* SPDX-License-Identifier: MIT */
#ifndef LIVE_USERS_H
#define LIVE_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Who may see the page, and who may also control: a file of lines NAME:HASH:look or
 * NAME:HASH:control, with crypt(5) hashes of yescrypt, gost-yescrypt, scrypt, bcrypt or SHA-512;
 * # begins a comment line. It may not be writable by others than its owner, who must be us or root.
 * Logged in, a browser shows a cookie, and for changes a secret that other sites can't know.
 */
enum {
    USERS_MAX = 256,
    LOGINS_MAX = 64,
    SECRET_CHARS = 32, /* 128 bits as hexadecimal digits */
};

struct users;

int users_read(const char *path, struct users **ret, struct error *err);
void users_free(struct users *u);

struct login {
    bool may_control;
    char cookie[SECRET_CHARS + 1], secret[SECRET_CHARS + 1];
    uint64_t until_ns; /* CLOCK_MONOTONIC */
};

/* Takes some 50 ms, by design of the hashes. NULL: wrong, or, with *ret_wait, too many tries: five
 * a minute for each name, twenty for all together. Borrowed until the next call. */
const struct login *users_login(struct users *u, const char *name, const char *password,
                                bool *ret_wait);
/* By its cookie, or what HTTP's basic scheme sends (base64 of name:password). */
const struct login *users_find(struct users *u, const char *cookie);
const struct login *users_basic(struct users *u, const char *credentials, bool *ret_wait);
void users_logout(struct users *u, const char *cookie);

/* SECRET_CHARS and a 0, from the kernel. */
void secret_make(char *ret);
/* In a time that tells nothing of where they differ; b has SECRET_CHARS. */
bool secret_equal(const char *a, const char *b);

#endif
