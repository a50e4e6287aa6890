/* SPDX-License-Identifier: MIT */
#include "report/flamegraph.h"

#include <string.h>

#include "base/mem.h"
#include "report/flamegraph_files.h"
#include "report/table.h"

const char *flamegraph_style(void)
{
    return style;
}

const char *flamegraph_script(void)
{
    return script;
}

/* Writes the page up to a mark; returns what follows it. */
static const char *put_until(const char *from, const char *mark, FILE *out)
{
    const char *at = strstr(from, mark);
    fwrite(from, 1, at ? (size_t)(at - from) : strlen(from), out);
    return at ? at + strlen(mark) : "";
}

void flamegraph_page(const char *head, void (*scripts)(void *user, FILE *out), void *user,
                     FILE *out)
{
    const char *rest = put_until(page, "{{head}}", out);
    fputs(head, out);
    rest = put_until(rest, "{{scripts}}", out);
    scripts(user, out);
    fputs(rest, out);
}

struct embedded {
    const struct profile *p, *before; /* before: NULL where there is one profile only */
    const struct report_options *opt;
};

static void put_scripts(void *user, FILE *out)
{
    const struct embedded *e = user;
    fputs("<script type=\"application/json\" id=\"oxprof-data\">", out);
    if (e->before)
        flamegraph_diff_data(e->before, e->p, e->opt, out);
    else
        flamegraph_data(e->p, e->opt, out);
    fprintf(out, "</script>\n<script>%s</script>", script);
}

/* The browser runs and styles nothing but what stands here, and fetches nothing, whatever a name
 * may have smuggled in. */
static char *policy_and_style(void)
{
    return mem_printf("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "script-src '%s'; style-src '%s'; base-uri 'none'; form-action 'none'\">\n"
                      "<style>%s</style>",
                      script_digest, style_digest, style);
}

static int write_page(struct embedded *e, FILE *out)
{
    OX_FREE char *head = policy_and_style();
    flamegraph_page(head, put_scripts, e, out);
    return report_finish(out);
}

int report_flamegraph(const struct profile *p, const struct report_options *opt, FILE *out)
{
    return write_page(&(struct embedded){.p = p, .opt = opt}, out);
}

int report_diff_flamegraph(const struct profile *before, const struct profile *after,
                           const struct report_options *opt, FILE *out)
{
    return write_page(&(struct embedded){.p = after, .before = before, .opt = opt}, out);
}
