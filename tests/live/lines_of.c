/* SPDX-License-Identifier: MIT */
/*
 * What symbols_lines() says of addresses. usage: lines_of FILE [DEBUG-DIR] <ADDRESSES
 *
 * For each hexadecimal address on a line of standard input: a line with the address, then for each
 * function, the innermost first, a line with its name as linked and one with FILE:LINE ("??:0"). At
 * the end of these "# declared NAME LINE" for each. At the end of all "# cut N", and
 * "# memory N KiB", the most that was resident.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "symbols/symbols.h"

static struct module *open_module(struct modules *t, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    struct module *m = modules_add(t, st.st_dev, st.st_ino, path);
    m->fd = fd;
    m->file_bytes = (uint64_t)st.st_size;
    return module_read_headers(m) < 0 ? NULL : m;
}

static void print_lines(struct symbols *s, struct module *m, uint64_t vaddr)
{
    struct symbol_line lines[SYMBOL_LINES_MAX];
    int n = symbols_lines(s, m, vaddr, lines);
    printf("0x%016lx\n", vaddr);
    for (int i = 0; i < n; i++)
        printf("%s\n%s:%u\n", lines[i].linkage_name, lines[i].file ? lines[i].file : "??",
               lines[i].line);
    for (int i = 0; i < n; i++)
        if (!strchr(lines[i].linkage_name, ' '))
            printf("# declared %s %u\n", lines[i].linkage_name, lines[i].start_line);
}

int main(int argc, char **argv)
{
    struct modules modules = {0};
    struct symbols_options options = {.demangle = DEMANGLE_NONE,
                                      .debug_dir = argc > 2 ? argv[2] : NULL,
                                      .debuginfod = getenv("DEBUGINFOD_URLS") != NULL};
    struct module *m = argc > 1 ? open_module(&modules, argv[1]) : NULL;
    if (!m) {
        fprintf(stderr, "usage: %s FILE [DEBUG-DIR] <ADDRESSES\n", argv[0]);
        return 2;
    }
    struct symbols *s = symbols_new(&options);
    char line[64];
    while (fgets(line, sizeof(line), stdin))
        print_lines(s, m, strtoull(line, NULL, 16));
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("# cut %lu\n# memory %ld KiB\n", symbols_lines_cut(s), used.ru_maxrss);
    symbols_free(s);
    modules_release(&modules);
    return 0;
}
