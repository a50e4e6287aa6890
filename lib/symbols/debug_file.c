/* SPDX-License-Identifier: MIT */
#include "symbols/debug_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* Whatever lies there must not hang us: a FIFO without O_NONBLOCK would. */
static int open_regular(const char *path, struct stat *ret_st)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -ENODATA;
    if (fstat(fd, ret_st) == 0 && S_ISREG(ret_st->st_mode))
        return fd;
    close(fd);
    return -EBADMSG;
}

int debug_file_open(struct modules *files, const char *debug_dir, const struct module *m,
                    struct module **ret_file, struct sections *ret_sections)
{
    char hex[2 * MODULE_BUILD_ID_MAX + 1];
    struct sections sections;
    struct stat st;
    if (m->build_id_bytes < 2)
        return -ENODATA;
    module_build_id_hex(m, hex, sizeof(hex));
    OX_FREE char *path = mem_printf("%s/.build-id/%.2s/%s.debug", debug_dir, hex, hex + 2);
    int fd = open_regular(path, &st);
    if (fd < 0)
        return fd;
    struct module *file = modules_add(files, st.st_dev, st.st_ino, path);
    file->fd = fd;
    file->file_bytes = (uint64_t)st.st_size;
    if (sections_read(&sections, file) < 0)
        return -EBADMSG;
    if (!sections_have_build_id(&sections, file, m->build_id, m->build_id_bytes)) {
        sections_release(&sections);
        return -EBADMSG;
    }
    *ret_file = file;
    *ret_sections = sections;
    return 0;
}
