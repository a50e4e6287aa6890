/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/mem.h"
#include "cmd/cmd.h"

const char *output_format(const struct options *opt)
{
    const char *by_suffix = opt->output ? report_format_of(opt->output) : NULL;
    const char *by_default = by_suffix ? by_suffix : opt->default_format;
    return opt->format ? opt->format : by_default;
}

static int failed(const struct options *opt, int rc, struct error *err)
{
    char name[600];
    escape_text(name, sizeof(name), opt->output ? opt->output : "standard output", NULL);
    return error_set(err, rc, "the report can't be written to %s: %s", name, strerror(-rc));
}

/* A link there may have been planted to have us overwrite what it points to. */
static bool planted_link(const char *path)
{
    struct stat link, dir;
    char *copy OX_FREE = mem_strdup(path);
    if (lstat(path, &link) < 0 || !S_ISLNK(link.st_mode) || stat(dirname(copy), &dir) < 0)
        return false;
    return (dir.st_mode & S_IWOTH) && link.st_uid != geteuid();
}

static bool written_straight(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* The file that path leads to: a rename over a symbolic link would replace the link. */
static char *real_place(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? real : mem_strdup(path);
}

/* What is to be written. */
struct source {
    int (*write)(void *data, FILE *out);
    void *data;
};

enum { BUFFER_BYTES = 1 << 18 }; /* large formats take half of the time with it */

static int write_to(const struct source *from, FILE *out)
{
    errno = 0;
    if (from->write(from->data, out) == 0)
        return 0;
    return errno ? -errno : -EIO;
}

static int write_beside(const struct options *opt, const struct source *from)
{
    char *place OX_FREE = real_place(opt->output);
    char *temporary OX_FREE = mem_printf("%s.XXXXXX", place);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    mode_t mask = umask(0);
    umask(mask);
    FILE *out = fdopen(fd, "w");
    if (out)
        setvbuf(out, NULL, _IOFBF, BUFFER_BYTES);
    int rc = out ? write_to(from, out) : -errno;
    struct stat old;
    mode_t mode = stat(place, &old) == 0 ? old.st_mode & 0777 : 0666 & ~mask;
    if (rc == 0 && fchmod(fd, mode) < 0)
        rc = -errno;
    if (out && fclose(out) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, place) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(temporary);
    return rc;
}

static int write_straight(const struct options *opt, const struct source *from)
{
    FILE *out = fopen(opt->output, "we");
    if (!out)
        return -errno;
    setvbuf(out, NULL, _IOFBF, BUFFER_BYTES);
    int rc = write_to(from, out);
    if (fclose(out) != 0 && rc == 0)
        rc = -errno;
    return rc;
}

int output_write(const struct options *opt, int (*write)(void *data, FILE *out), void *data,
                 FILE *fallback, struct error *err)
{
    struct source from = {.write = write, .data = data};
    int rc;
    if (!opt->output)
        rc = write_to(&from, fallback);
    else if (planted_link(opt->output))
        return error_set(err, -ELOOP,
                         "%s is another user's symbolic link in a folder that everybody may "
                         "write to: name another file",
                         opt->output);
    else if (written_straight(opt->output))
        rc = write_straight(opt, &from);
    else
        rc = write_beside(opt, &from);
    return rc < 0 ? failed(opt, rc, err) : 0;
}

struct view {
    const struct options *opt;
    struct profile profile;
};

static int write_view(void *data, FILE *out)
{
    const struct view *v = data;
    return report_find(output_format(v->opt))(&v->profile, &v->opt->report, out);
}

/* What the format has no room for is no fault of the file's. */
static int check_room(const struct options *opt, const struct profile *p, struct error *err)
{
    uint64_t samples = profile_samples(p, PROFILE_CPU) + profile_samples(p, PROFILE_WAIT);
    if (report_find(output_format(opt)) != report_perf || samples <= REPORT_PERF_EVENTS_MAX)
        return 0;
    return error_set(err, -EFBIG,
                     "-f perf has an event for each sample, and %" PRIu64
                     " are too many: at most %d; -f folded has their sums",
                     samples, REPORT_PERF_EVENTS_MAX);
}

int output_report(const struct options *opt, const struct profile *p, FILE *fallback,
                  struct error *err)
{
    struct view view = {.opt = opt};
    report_view_init(&view.profile, p, &opt->report);
    int rc = check_room(opt, &view.profile, err);
    if (rc == 0)
        rc = output_write(opt, write_view, &view, fallback, err);
    report_view_release(&view.profile);
    return rc;
}

int output_check(const struct options *opt, struct error *err)
{
    struct stat st;
    if (opt->output && stat(opt->output, &st) == 0 && S_ISDIR(st.st_mode))
        return failed(opt, -EISDIR, err);
    if (!opt->output && isatty(STDOUT_FILENO) && report_find(output_format(opt)) == report_pprof)
        return error_set(err, -EINVAL, "a saved profile is not for a terminal: -o FILE, or a pipe");
    if (!opt->output || written_straight(opt->output))
        return 0;
    char *copy OX_FREE = mem_strdup(opt->output);
    const char *dir = dirname(copy);
    if (stat(dir, &st) < 0)
        return failed(opt, -errno, err);
    if (!S_ISDIR(st.st_mode))
        return failed(opt, -ENOTDIR, err);
    return access(dir, W_OK) < 0 ? failed(opt, -errno, err) : 0;
}
