/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/escape.h"
#include "base/mem.h"
#include "cmd/cmd.h"

/* Of one file; the profile in it may be larger. */
enum { FILE_BYTES_MAX = 256 << 20, FIRST_BYTES = 1 << 16 };

struct content {
    uint8_t *bytes; /* owned */
    size_t n, cap;
};

static int read_stream(FILE *in, struct content *c, struct error *err)
{
    for (size_t got = 1; got;) {
        if (c->n > FILE_BYTES_MAX)
            return error_set(err, -E2BIG, "it is larger than %d MiB", FILE_BYTES_MAX >> 20);
        c->bytes = mem_grow(c->bytes, &c->cap, c->n + FIRST_BYTES, 1);
        got = fread(c->bytes + c->n, 1, c->cap - c->n, in);
        c->n += got;
    }
    return ferror(in) ? error_set(err, -errno, "%s", strerror(errno)) : 0;
}

static int add_file(struct report_reader *r, const char *path, struct error *err)
{
    bool from_stdin = !strcmp(path, "-");
    struct content c = {0};
    FILE *in = from_stdin ? stdin : fopen(path, "re");
    if (!in)
        return error_set(err, -errno, "%s", strerror(errno));
    int rc = read_stream(in, &c, err);
    if (!from_stdin)
        fclose(in);
    if (rc == 0)
        rc = report_reader_add(r, c.bytes, c.n, err);
    mem_cleanup_free(&c.bytes);
    return rc;
}

int read_profiles(char *const *paths, size_t n, struct profile **ret_profile)
{
    struct profile *p = profile_new(NULL);
    struct report_reader *r = report_reader_new(p);
    struct error err;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char name[600];
        rc = add_file(r, paths[i], &err);
        escape_text(name, sizeof(name), strcmp(paths[i], "-") ? paths[i] : "standard input", NULL);
        if (rc < 0)
            say("%s can't be read: %s", name, err.text);
    }
    report_reader_free(r);
    if (rc < 0) {
        profile_free(p);
        return EXIT_FAILED;
    }
    *ret_profile = p;
    return EXIT_DONE;
}
