/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "base/mem.h"
#include "report/table.h"
#include "report/waits.h"

static void write_row(const struct profile *p, const char *state, const struct report_row *row,
                      const char *tid, FILE *out)
{
    /* The backslash too, so that an escaped character reads differently from its spelling. */
    OX_FREE char *function = report_function(p, row->function, "\\");
    OX_FREE char *name = report_escaped(p, row->module, "\\");
    OX_FREE char *module =
        row->address ? mem_printf("%s+0x%" PRIx64, name, row->address) : mem_strdup(name);
    OX_FREE char *file = report_escaped(p, row->file, "\\");
    OX_FREE char *line = row->line ? mem_printf("%" PRIu32, row->line) : mem_strdup("");
    fprintf(out, "%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s\t%s\t%s\t%s\n", state, row->self,
            row->total, frame_kind_name(row->kind), function, module, file, line, tid);
}

static void write_tables(struct tabulation *t, const struct report_options *opt, uint32_t thread,
                         const char *tid, FILE *out)
{
    static const char *const names[PROFILE_STATES] = {
        [PROFILE_CPU] = "cpu", [PROFILE_WAIT] = "wait"};
    for (unsigned state = 0; state < PROFILE_STATES; state++) {
        struct report_table table;
        tabulation_table(t, (enum profile_state)state, thread, &table);
        report_table_limit(&table, opt);
        for (size_t i = 0; i < table.n; i++)
            write_row(t->p, names[state], &table.rows[i], tid, out);
        report_table_release(&table);
    }
}

static void write_waits(struct tabulation *t, const struct report_options *opt, uint32_t thread,
                        const char *tid, FILE *out)
{
    struct report_table table;
    waits_table(t->p, opt, thread, &table);
    report_table_limit(&table, opt);
    for (size_t i = 0; i < table.n; i++) {
        OX_FREE char *reason = NULL, *thing = NULL;
        waits_parts(t->p, &table.rows[i], "\\", &reason, &thing);
        fprintf(out, "%" PRIu64 "\t%" PRIu32 "\t%s\t%s\t%s\n", table.rows[i].self, table.rows[i].id,
                reason, thing, tid);
    }
    report_table_release(&table);
}

int report_tsv(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct tabulation t;
    void (*write)(struct tabulation *, const struct report_options *, uint32_t, const char *,
                  FILE *) = opt->waits ? write_waits : write_tables;
    tabulation_init(&t, p, opt);
    fputs(opt->waits ? "hits\tthreads\treason\tthing\ttid\n"
                     : "state\tself\ttotal\tkind\tfunction\tmodule\tfile\tline\ttid\n",
          out);
    if (!opt->threads)
        write(&t, opt, UINT32_MAX, "", out);
    for (size_t i = 0; opt->threads && i < t.n_threads; i++) {
        uint32_t thread = t.threads[i].thread;
        OX_FREE char *tid = mem_printf("%d", p->threads[thread].tid);
        write(&t, opt, thread, tid, out);
    }
    int rc = report_finish(out);
    tabulation_release(&t);
    return rc;
}
