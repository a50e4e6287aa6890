/* SPDX-License-Identifier: MIT */
#include "symbols/namer_writer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

enum { OUT_BYTES = 64 * 1024 };

void namer_writer_release(struct namer_writer *w)
{
    free(w->out);
}

void namer_writer_reset(struct namer_writer *w)
{
    w->done = w->bytes = 0;
}

bool namer_writer_is_full(const struct namer_writer *w)
{
    return w->bytes >= OUT_BYTES;
}

void namer_writer_put(struct namer_writer *w, const struct namer_request *r, const char *text)
{
    size_t bytes = sizeof(*r) + r->text_bytes;
    w->out = mem_grow(w->out, &w->cap, w->bytes + bytes, 1);
    memcpy(w->out + w->bytes, r, sizeof(*r));
    if (r->text_bytes)
        memcpy(w->out + w->bytes + sizeof(*r), text, r->text_bytes);
    w->bytes += bytes;
}

void namer_writer_flush(struct namer_writer *w, int fd)
{
    ssize_t sent = 1;
    while (w->done < w->bytes && sent > 0) {
        sent = send(fd, w->out + w->done, w->bytes - w->done, MSG_NOSIGNAL | MSG_DONTWAIT);
        w->done += sent > 0 ? (size_t)sent : 0;
    }
    if (w->done == w->bytes)
        namer_writer_reset(w);
}
