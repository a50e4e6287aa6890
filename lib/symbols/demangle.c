/* SPDX-License-Identifier: MIT */
#include "symbols/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    NAME_MAX_BYTES = 64 * 1024,
    /* Each reference back can repeat all before it: without a bound on them D's demangler, which
     * can't be stopped while it writes, fills memory exponentially. */
    D_REFERENCES_MAX = 24
};

struct output {
    char *text; /* owned */
    size_t n, cap;
    jmp_buf too_long;
};

/*
 * Substitutions let 100 bytes of mangled name stand for gigabytes. libiberty's printers (2.40)
 * ignore what this returns, hold no heap memory while they print C++, and can only be left by a
 * jump.
 */
static void append(const char *s, size_t len, void *opaque)
{
    struct output *out = opaque;
    if (!len)
        return; /* s may be NULL then */
    if (len > NAME_MAX_BYTES - out->n)
        longjmp(out->too_long, 1);
    out->text = mem_grow(out->text, &out->cap, out->n + len + 1, 1);
    memcpy(out->text + out->n, s, len);
    out->n += len;
    out->text[out->n] = '\0';
}

typedef int demangler(const char *mangled, int options, demangle_callbackref append, void *opaque);

static char *run(demangler *demangle, const char *mangled, int options)
{
    struct output *out = mem_alloc(sizeof(*out));
    bool done = !setjmp(out->too_long) && demangle(mangled, options, append, out);
    char *text = done && out->n ? out->text : NULL;
    if (!text)
        free(out->text);
    free(out);
    return text;
}

static size_t count_char(const char *s, char c)
{
    size_t n = 0;
    for (; *s; s++)
        n += *s == c;
    return n;
}

/* "app.f!(int).g(long) const" becomes "app.f!(int).g": libiberty always writes D's parameters. */
static void cut_d_parameters(char *text)
{
    char *parameters = NULL;
    size_t depth = 0;
    for (char *p = text; *p; p++) {
        if (*p == '(' && !depth++)
            parameters = p > text && p[-1] != '!' ? p : NULL;
        else if (*p == ')' && depth)
            depth--;
        else if (*p == '.' && !depth)
            parameters = NULL;
    }
    if (parameters)
        *parameters = '\0';
}

static char *demangle_d(const char *name, enum demangle how)
{
    if (count_char(name, 'Q') > D_REFERENCES_MAX)
        return NULL;
    OX_FREE char *text = dlang_demangle(name, DMGL_PARAMS);
    if (!text || strlen(text) > NAME_MAX_BYTES)
        return NULL;
    if (how == DEMANGLE_SIMPLE)
        cut_d_parameters(text);
    return OX_TAKE(text);
}

static char *demangle_any(const char *name, enum demangle how)
{
    int options = DMGL_ANSI | (how == DEMANGLE_FULL ? DMGL_PARAMS : 0);
    char *text = NULL;
    /* Legacy Rust names are C++ names too ("_ZN...17h0123456789abcdefE"): Rust goes first. */
    if (!strncmp(name, "_R", 2) || !strncmp(name, "_ZN", 3))
        text = run(rust_demangle_callback, name, options);
    if (!text && !strncmp(name, "_Z", 2))
        text = run(cplus_demangle_v3_callback, name, options);
    if (!text && !strncmp(name, "_D", 2))
        text = demangle_d(name, how);
    return text;
}

/* The suffix ".NAME.123" or, where the number may be missing, ".NAME" at the end of the name. */
static size_t suffix_len(const char *name, size_t len)
{
    static const struct {
        const char *name;
        bool bare;
    } suffixes[] = {
        {".cold", true},       {".localalias", true}, {".isra", false}, {".part", false},
        {".constprop", false}, {".lto_priv", false},  {".llvm", false},
    };
    size_t digits = 0;
    while (digits < len && name[len - 1 - digits] >= '0' && name[len - 1 - digits] <= '9')
        digits++;
    bool numbered = digits && digits < len && name[len - 1 - digits] == '.';
    size_t tail = numbered ? digits + 1 : 0;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
        size_t n = strlen(suffixes[i].name);
        if ((numbered || suffixes[i].bare) && len > n + tail &&
            !memcmp(name + len - tail - n, suffixes[i].name, n))
            return n + tail;
    }
    return 0;
}

char *demangle_name(const char *linkage_name, enum demangle how)
{
    size_t len = strlen(linkage_name), suffix;
    if (how == DEMANGLE_NONE || len > NAME_MAX_BYTES)
        return mem_strdup(linkage_name);
    while ((suffix = suffix_len(linkage_name, len)))
        len -= suffix;
    OX_FREE char *stem = mem_strndup(linkage_name, len);
    OX_FREE char *text = demangle_any(stem, how);
    return text ? OX_TAKE(text) : OX_TAKE(stem);
}
