/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "live/json.h"
#include "live/page.h"
#include "live/request.h"

/* How an answer is sent: its headers, and its body as fast as it is read. */
enum { PIECE_BYTES = 32 << 10 }; /* of an answer; read within the time for it (clients.c) */

static void add_headers(struct request *r, struct MHD_Response *response)
{
    static const char *const always[][2] = {
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
         "'self' data:; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
         "'self'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "SAMEORIGIN"},
        {"Referrer-Policy", "same-origin"}, /* without one a form's POST has Origin: null */
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
    };
    char cookie[200];
    for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
        MHD_add_response_header(response, always[i][0], always[i][1]);
    if (r->type)
        MHD_add_response_header(response, "Content-Type", r->type);
    if (r->disposition[0])
        MHD_add_response_header(response, "Content-Disposition", r->disposition);
    if (r->location)
        MHD_add_response_header(response, "Location", r->location);
    snprintf(cookie, sizeof(cookie), "%s=%s; Path=/; HttpOnly; SameSite=Strict%s",
             r->web->cookie_name, r->cookie ? r->cookie : "",
             r->cookie && !*r->cookie ? "; Max-Age=0" : "");
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", r->allow);
    if (r->cookie)
        MHD_add_response_header(response, "Set-Cookie", cookie);
}

struct body {
    struct client *client; /* outlives it */
    char *text;            /* owned */
    size_t bytes;
};

/* Each piece that is asked for says that those before were read. */
static ssize_t read_body(void *body, uint64_t at, char *ret, size_t most)
{
    const struct body *b = body;
    size_t n = b->bytes - at < most ? b->bytes - at : most;
    if (at >= b->bytes)
        return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(ret, b->text + at, n);
    client_set_state(b->client, CLIENT_READS);
    return (ssize_t)n;
}

static void free_body(void *body)
{
    struct body *b = body;
    free(b->text);
    free(b);
}

enum MHD_Result answer_send(struct request *r, char *text, size_t bytes)
{
    struct body *b = mem_alloc(sizeof(*b));
    *b = (struct body){.client = r->client, .text = text, .bytes = bytes};
    struct MHD_Response *response =
        MHD_create_response_from_callback(bytes, PIECE_BYTES, read_body, b, free_body);
    if (!response) {
        free_body(b);
        return MHD_NO;
    }
    r->answer_bytes += bytes;
    r->web->answer_bytes += bytes;
    add_headers(r, response);
    client_set_state(r->client, CLIENT_READS);
    enum MHD_Result rc = MHD_queue_response(r->connection, r->status, response);
    MHD_destroy_response(response);
    return rc;
}

enum MHD_Result answer_send_refusal(struct request *r, const char *url)
{
    bool login = r->web->users && r->status == MHD_HTTP_UNAUTHORIZED && !strcmp(url, "/");
    r->type = login ? "text/html; charset=utf-8" : "text/plain; charset=utf-8";
    return answer_send(r, mem_strdup(login ? page_login : ""), login ? strlen(page_login) : 0);
}

enum MHD_Result answer_send_failure(struct request *r)
{
    char *body = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&body, &bytes);
    if (!out)
        return MHD_NO;
    fputs("{\"error\":", out);
    live_json_text(out, r->failure.text);
    fputs("}\n", out);
    if (fclose(out) != 0) {
        free(body);
        return MHD_NO;
    }
    r->type = "application/json";
    r->disposition[0] = 0;
    return answer_send(r, body, bytes);
}
