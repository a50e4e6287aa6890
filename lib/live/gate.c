/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "live/request.h"

/* Who may ask what: before anything of an answer is made. */

const char *request_header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static bool refuse(struct request *r, unsigned status)
{
    r->status = status;
    return false;
}

/*
 * A page of another site may send a POST here, with the cookie of this one where a browser is old.
 * Browsers say where it comes from; programs that are none do not.
 */
static bool from_elsewhere(const struct request *r)
{
    char own[310];
    const char *origin = request_header(r, "Origin"), *site = request_header(r, "Sec-Fetch-Site");
    const char *host = request_header(r, "Host");
    snprintf(own, sizeof(own), "http://%s", host ? host : "");
    return (origin && strcmp(origin, own) != 0) ||
           (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0);
}

/* The path below the token, or NULL without it. */
static const char *below_token(const struct web *w, const char *url)
{
    if (url[0] != '/' || strnlen(url + 1, TOKEN_CHARS) < TOKEN_CHARS)
        return NULL;
    char token[TOKEN_CHARS + 1];
    memcpy(token, url + 1, TOKEN_CHARS);
    token[TOKEN_CHARS] = 0;
    const char *rest = url + 1 + TOKEN_CHARS;
    return secret_equal(token, w->token) && (!*rest || *rest == '/') ? rest : NULL;
}

static void find_login(struct request *r, bool post, bool *ret_wait)
{
    const char *cookie =
        MHD_lookup_connection_value(r->connection, MHD_COOKIE_KIND, r->web->cookie_name);
    const char *basic = request_header(r, "Authorization");
    const struct login *login = cookie ? users_find(r->web->users, cookie) : NULL;
    *ret_wait = false;
    r->by_cookie = login != NULL;
    /* Not for changes: a browser sends it by itself. */
    if (!login && basic && !post && !strncmp(basic, "Basic ", 6))
        login = users_basic(r->web->users, basic + 6, ret_wait);
    r->logged_in = login != NULL;
    if (login)
        r->login = *login;
}

/* With users: the cookie, and for changes the secret that goes with it. */
static const char *admitted_user(struct request *r, const char *url, bool post)
{
    bool wait;
    if (!strcmp(url, "/login") && post)
        return url;
    find_login(r, post, &wait);
    if (!r->logged_in) {
        r->status = wait ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_UNAUTHORIZED;
        return NULL;
    }
    r->may_control = r->login.may_control;
    if (!post)
        return url;
    const char *secret = request_header(r, "X-Oxprof-Secret");
    bool leaves = !strcmp(url, "/logout");
    if (!secret || !secret_equal(secret, r->login.secret) || (!r->may_control && !leaves)) {
        r->status = MHD_HTTP_FORBIDDEN;
        return NULL;
    }
    return url;
}

bool gate_admits(struct request *r, const char *url, const char *method)
{
    bool post = !strcmp(method, "POST"), other_method = false;
    bool get = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    const char *rest = NULL;
    if (!listening_knows(r->web->listening, request_header(r, "Host")))
        return refuse(r, MHD_HTTP_MISDIRECTED_REQUEST);
    r->status = MHD_HTTP_UNAUTHORIZED;
    r->allow = post ? "GET" : "POST";
    if (r->web->users) {
        rest = admitted_user(r, url, post);
    } else {
        rest = below_token(r->web, url);
        r->may_control = rest != NULL;
    }
    if (!rest)
        return false;
    if (post && from_elsewhere(r))
        return refuse(r, MHD_HTTP_FORBIDDEN);
    if (!post && !get)
        r->allow = "GET, POST";
    if (!post && !get)
        return refuse(r, MHD_HTTP_METHOD_NOT_ALLOWED);
    r->route = route_find(rest, post, &other_method);
    if (!r->route)
        return refuse(r, other_method ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND);
    return true;
}

bool gate_still_admits(struct request *r)
{
    r->status = MHD_HTTP_UNAUTHORIZED;
    return !r->by_cookie || users_find(r->web->users, r->login.cookie);
}
