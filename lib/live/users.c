/* SPDX-License-Identifier: MIT */
#include "live/users.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/mem.h"

enum {
    TRIES_EACH = 5, /* a minute */
    TRIES_ALL = 20,
    STRANGERS_MAX = 2 * TRIES_ALL, /* a minute's tries may fall into two minutes of them all */
    NAME_MAX_BYTES = 64,
    PASSWORD_MAX_BYTES = 512, /* CRYPT_MAX_PASSPHRASE_SIZE */
    FILE_LINE_BYTES = 1024,
    BASIC_MAX_BYTES = 1024,
    BASIC_KEPT = 16,
};
static const uint64_t minute_ns = 60 * OX_NS_PER_S, login_ns = 12 * 3600 * OX_NS_PER_S;

struct tries {
    uint64_t since_ns;
    unsigned n;
};

struct user {
    char *name, *hash; /* owned */
    bool may_control;
    struct tries tries;
};

/* Who is not there has tries as well, or they would tell who is. */
struct stranger {
    char name[NAME_MAX_BYTES + 1];
    struct tries tries;
};

struct users {
    struct user all[USERS_MAX];
    size_t n;
    struct tries tries;
    struct stranger strangers[STRANGERS_MAX];
    struct login logins[LOGINS_MAX];
    struct {
        char credentials[BASIC_MAX_BYTES]; /* "": free */
        struct login login;
    } basic[BASIC_KEPT]; /* so that a scraper does not cost a hash each time */
    size_t basic_turn;
    char *nobody_hash; /* owned; tried for names that there are not, so that they take as long */
    struct crypt_data crypt;
};

void secret_make(char *ret)
{
    unsigned char bytes[SECRET_CHARS / 2];
    for (size_t n = 0; n < sizeof(bytes);) {
        ssize_t got = getrandom(bytes + n, sizeof(bytes) - n, 0);
        n += got > 0 ? (size_t)got : 0;
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

bool secret_equal(const char *a, const char *b)
{
    unsigned differ = 0;
    if (strnlen(a, SECRET_CHARS + 1) != SECRET_CHARS) /* how long it is, is no secret */
        return false;
    for (size_t i = 0; i < SECRET_CHARS; i++)
        differ |= (unsigned)(unsigned char)a[i] ^ (unsigned char)b[i];
    return !differ;
}

/* --- the file */

static bool strong_hash(const char *hash)
{
    static const char *const kinds[] = {"$y$", "$gy$", "$7$", "$2b$", "$2y$", "$6$"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (!strncmp(hash, kinds[i], strlen(kinds[i])))
            return true;
    return false;
}

static struct user *find_user(struct users *u, const char *name)
{
    for (size_t i = 0; i < u->n; i++)
        if (!strcmp(u->all[i].name, name))
            return &u->all[i];
    return NULL;
}

static int add_user(struct users *u, char *line, size_t number, struct error *err)
{
    char *rest = line, *name = strsep(&rest, ":"), *hash = strsep(&rest, ":");
    char *role = rest;
    if (!*name || !hash || !role || strlen(name) > NAME_MAX_BYTES)
        return error_set(err, -EINVAL, "line %zu: want NAME:HASH:look or NAME:HASH:control",
                         number);
    if (strcmp(role, "look") && strcmp(role, "control"))
        return error_set(err, -EINVAL, "line %zu: want look or control at its end", number);
    if (!strong_hash(hash))
        return error_set(err, -EINVAL,
                         "line %zu: want a hash of yescrypt, scrypt, bcrypt or SHA-512, as "
                         "mkpasswd(1) makes",
                         number);
    if (find_user(u, name))
        return error_set(err, -EINVAL, "line %zu: that name was there before", number);
    if (u->n == USERS_MAX)
        return error_set(err, -E2BIG, "more than %d users", USERS_MAX);
    u->all[u->n++] = (struct user){.name = mem_strdup(name),
                                   .hash = mem_strdup(hash),
                                   .may_control = !strcmp(role, "control")};
    return 0;
}

static int read_lines(struct users *u, FILE *in, struct error *err)
{
    char line[FILE_LINE_BYTES];
    int rc = 0;
    for (size_t number = 1; rc == 0 && fgets(line, sizeof(line), in); number++) {
        size_t len = strcspn(line, "\n");
        if (!line[len] && !feof(in))
            return error_set(err, -EINVAL, "line %zu is too long", number);
        line[len] = 0;
        if (len && line[0] != '#')
            rc = add_user(u, line, number, err);
    }
    if (rc == 0 && !u->n)
        rc = error_set(err, -EINVAL, "there is nobody in it");
    return rc;
}

int users_read(const char *path, struct users **ret, struct error *err)
{
    struct stat st;
    FILE *in = fopen(path, "re");
    if (!in || fstat(fileno(in), &st) < 0) {
        int rc = -errno;
        if (in)
            fclose(in);
        return error_set(err, rc, "%s", strerror(-rc));
    }
    struct users *u = mem_alloc(sizeof(*u));
    int rc = 0;
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)))
        rc = error_set(err, -EPERM, "others may write to it: chmod 600, and it must be yours");
    if (rc == 0)
        rc = read_lines(u, in, err);
    fclose(in);
    if (rc < 0) {
        users_free(u);
        return rc;
    }
    u->nobody_hash = mem_strdup(u->all[0].hash);
    *ret = u;
    return 0;
}

void users_free(struct users *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < u->n; i++) {
        free(u->all[i].name);
        free(u->all[i].hash);
    }
    free(u->nobody_hash);
    explicit_bzero(u, sizeof(*u));
    free(u);
}

/* --- logins */

static bool too_many(struct tries *t, unsigned most)
{
    uint64_t now = clock_now_ns();
    if (!t->since_ns || now - t->since_ns > minute_ns)
        *t = (struct tries){.since_ns = now};
    return t->n++ >= most;
}

static bool same_text(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned differ = n != m;
    for (size_t i = 0; i < n && i < m; i++)
        differ |= (unsigned)(unsigned char)a[i] ^ (unsigned char)b[i];
    return !differ;
}

/* In the place of the one whose minute began first. */
static struct tries *stranger_tries(struct users *u, const char *name)
{
    struct stranger *place = &u->strangers[0];
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        struct stranger *s = &u->strangers[i];
        if (s->tries.since_ns && !strncmp(s->name, name, NAME_MAX_BYTES))
            return &s->tries;
        if (s->tries.since_ns < place->tries.since_ns)
            place = s;
    }
    *place = (struct stranger){0};
    snprintf(place->name, sizeof(place->name), "%s", name);
    return &place->tries;
}

static struct user *check(struct users *u, const char *name, const char *password, bool *ret_wait)
{
    struct user *user = find_user(u, name);
    *ret_wait = strlen(password) >= PASSWORD_MAX_BYTES || too_many(&u->tries, TRIES_ALL) ||
                too_many(user ? &user->tries : stranger_tries(u, name), TRIES_EACH);
    if (*ret_wait)
        return NULL;
    const char *wanted = user ? user->hash : u->nobody_hash;
    const char *made = crypt_rn(password, wanted, &u->crypt, sizeof(u->crypt));
    bool right = made && user && same_text(made, wanted);
    explicit_bzero(&u->crypt, sizeof(u->crypt));
    if (!right)
        return NULL;
    user->tries.n = 0;
    u->tries.n -= u->tries.n > 0;
    return user;
}

static void begin_login(struct login *l, const struct user *user)
{
    *l = (struct login){.may_control = user->may_control, .until_ns = clock_now_ns() + login_ns};
    secret_make(l->cookie);
    secret_make(l->secret);
}

const struct login *users_login(struct users *u, const char *name, const char *password,
                                bool *ret_wait)
{
    const struct user *user = check(u, name, password, ret_wait);
    struct login *place = &u->logins[0];
    if (!user)
        return NULL;
    for (size_t i = 1; i < LOGINS_MAX; i++)
        if (u->logins[i].until_ns < place->until_ns)
            place = &u->logins[i];
    begin_login(place, user);
    return place;
}

const struct login *users_find(struct users *u, const char *cookie)
{
    const struct login *found = NULL;
    uint64_t now = clock_now_ns();
    for (size_t i = 0; i < LOGINS_MAX; i++)
        if (u->logins[i].until_ns > now && secret_equal(cookie, u->logins[i].cookie))
            found = &u->logins[i];
    return found;
}

void users_logout(struct users *u, const char *cookie)
{
    for (size_t i = 0; i < LOGINS_MAX; i++)
        if (u->logins[i].until_ns && secret_equal(cookie, u->logins[i].cookie))
            u->logins[i] = (struct login){0};
}

static bool decode_base64(const char *text, char *ret, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned value = 0, bits = 0;
    size_t n = 0;
    for (; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit || n + 1 >= bytes)
            return false;
        value = (value << 6 | (unsigned)(digit - digits)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            ret[n] = (char)(value >> bits & 0xff);
            if (!ret[n++])
                return false;
        }
    }
    ret[n] = 0;
    return true;
}

const struct login *users_basic(struct users *u, const char *credentials, bool *ret_wait)
{
    char text[BASIC_MAX_BYTES];
    uint64_t now = clock_now_ns();
    *ret_wait = false;
    if (strlen(credentials) >= BASIC_MAX_BYTES || !*credentials)
        return NULL;
    for (size_t i = 0; i < BASIC_KEPT; i++)
        if (u->basic[i].login.until_ns > now && same_text(u->basic[i].credentials, credentials))
            return &u->basic[i].login;
    if (!decode_base64(credentials, text, sizeof(text)))
        return NULL;
    char *password = text, *name = strsep(&password, ":");
    const struct user *user = password ? check(u, name, password, ret_wait) : NULL;
    explicit_bzero(text, sizeof(text));
    if (!user)
        return NULL;
    size_t at = u->basic_turn++ % BASIC_KEPT;
    snprintf(u->basic[at].credentials, BASIC_MAX_BYTES, "%s", credentials);
    begin_login(&u->basic[at].login, user);
    return &u->basic[at].login;
}
