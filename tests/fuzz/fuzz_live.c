/* SPDX-License-Identifier: MIT */
/*
 * What a client asks the page, behind the HTTP parser, which is libmicrohttpd's: its two look-ups
 * are ours. The input: a byte (1: with users), then lines: method, path, and a NAME=VALUE for each
 * header (first byte of the line H), argument (A) and cookie (C). A $ and the letter T, C, S or B
 * stands for the token, a cookie, its secret, and right basic credentials.
 *
 * Whoever shows none of these may not be admitted.
 */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "fuzz.h"
#include "live/request.h"

enum { PAIRS_MAX = 16, LINE_BYTES = 700 };

static struct {
    enum MHD_ValueKind kind;
    const char *name;
    char value[LINE_BYTES];
} pairs[PAIRS_MAX];
static size_t n_pairs;

const char *MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                        const char *key)
{
    (void)connection;
    for (size_t i = 0; i < n_pairs; i++)
        if (pairs[i].kind == kind && !strcasecmp(pairs[i].name, key))
            return pairs[i].value;
    return NULL;
}

enum MHD_Result MHD_lookup_connection_value_n(struct MHD_Connection *connection,
                                              enum MHD_ValueKind kind, const char *key,
                                              size_t key_bytes, const char **ret_value,
                                              size_t *ret_bytes)
{
    (void)key_bytes;
    *ret_value = MHD_lookup_connection_value(connection, kind, key);
    *ret_bytes = *ret_value ? strlen(*ret_value) : 0;
    return *ret_value ? MHD_YES : MHD_NO;
}

struct world {
    struct listening listening;
    struct web web;
    struct users *users;
    const struct login *login;
};

static struct users *make_users(void)
{
    char path[] = "/tmp/oxprof-fuzz-XXXXXX", text[300];
    struct users *u = NULL;
    struct error err;
    struct crypt_data *work = mem_alloc(sizeof(*work));
    const char *hash = crypt_r("see", "$6$rounds=1000$abcdefgh", work);
    int fd = mkstemp(path);
    int n = snprintf(text, sizeof(text), "bob:%s:look\n", hash);
    if (fd < 0 || write(fd, text, (size_t)n) != n || users_read(path, &u, &err) < 0)
        abort();
    close(fd);
    unlink(path);
    free(work);
    return u;
}

static struct world *world(void)
{
    static struct world w;
    bool wait;
    if (w.users)
        return &w;
    snprintf(w.listening.host, sizeof(w.listening.host), "127.0.0.1:8080");
    w.web.listening = &w.listening;
    secret_make(w.web.token);
    snprintf(w.web.cookie_name, sizeof(w.web.cookie_name), "oxprof8080");
    w.users = make_users();
    w.login = users_login(w.users, "bob", "see", &wait);
    if (!w.login)
        abort();
    return &w;
}

/* Puts what stands for a secret in its place; true if one was. */
static bool expand(const struct world *w, const char *from, char *ret)
{
    bool secret = false;
    size_t n = 0;
    for (; *from && n + 1 < LINE_BYTES; from++) {
        const char *text = from[0] != '$'   ? NULL
                           : from[1] == 'T' ? w->web.token
                           : from[1] == 'C' ? w->login->cookie
                           : from[1] == 'S' ? w->login->secret
                           : from[1] == 'B' ? "Ym9iOnNlZQ=="
                                            : NULL;
        if (text && n + strlen(text) < LINE_BYTES) {
            memcpy(ret + n, text, strlen(text));
            n += strlen(text);
            from++;
            secret = true;
        } else {
            ret[n++] = *from;
        }
    }
    ret[n] = 0;
    return secret;
}

static bool read_pairs(const struct world *w, char *rest)
{
    bool secret = false;
    n_pairs = 0;
    for (char *line; n_pairs < PAIRS_MAX && (line = strsep(&rest, "\n"));) {
        char *value = line, *name = *line ? strsep(&value, "=") + 1 : NULL;
        if (!name || !value)
            continue;
        pairs[n_pairs].kind = line[0] == 'H'   ? MHD_HEADER_KIND
                              : line[0] == 'C' ? MHD_COOKIE_KIND
                                               : MHD_GET_ARGUMENT_KIND;
        pairs[n_pairs].name = name;
        secret |= expand(w, value, pairs[n_pairs++].value);
    }
    return secret;
}

/* As web.c does between a request's head and its answer. */
static void ask(struct world *w, const char *method, const char *path, bool secret)
{
    struct request *r = mem_alloc(sizeof(*r));
    struct error err = {0};
    r->web = &w->web;
    if (gate_admits(r, path, method)) {
        bool login = w->web.users && !strcmp(path, "/login");
        if ((!secret && !login) || !r->route || (r->may_control && w->web.users) ||
            (r->route->changes && strcmp(method, "POST") != 0))
            abort();
        if (r->route->asks != ASKS_NOTHING && !request_query(r, &err) && !err.text[0])
            abort();
        if (r->query.max_records > API_RECORDS_MAX || !gate_still_admits(r))
            abort();
        if (r->query.filter)
            (void)regexec(r->query.filter, "a_function(int, char const*)", 0, NULL, 0);
    } else if (r->status < 400 || r->status > 499) {
        abort();
    }
    if (r->query.filter)
        regfree(&r->re);
    free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct world *w = world();
    char path[LINE_BYTES];
    if (!bytes)
        return 0;
    char *text = fuzz_text(data + 1, bytes - 1), *rest = text;
    const char *method = strsep(&rest, "\n"), *raw = rest ? strsep(&rest, "\n") : "";
    w->web.users = data[0] % 2 ? w->users : NULL;
    bool secret = expand(w, raw, path);
    secret |= rest && read_pairs(w, rest);
    n_pairs = rest ? n_pairs : 0;
    ask(w, method, path, secret);
    free(text);
    return 0;
}
