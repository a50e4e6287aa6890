/* SPDX-License-Identifier: MIT */
#include "capture/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/escape.h"

static _Noreturn void child_main(int go_fd, int failed_fd, char *const argv[], const sigset_t *mask)
{
    char go;
    ssize_t n = read(go_fd, &go, 1);
    if (n == 0)
        _exit(125);
    if (n == 1) {
        sigprocmask(SIG_SETMASK, mask, NULL);
        execvp(argv[0], argv);
    }
    int failed = errno;
    if (write(failed_fd, &failed, sizeof(failed)) != (ssize_t)sizeof(failed))
        _exit(125);
    _exit(127);
}

int launcher_start(struct launcher *l, char *const argv[], const sigset_t *mask, struct error *err)
{
    int go[2], failed[2];
    *l = (struct launcher){.go_fd = -1, .failed_fd = -1};
    if (pipe2(go, O_CLOEXEC) < 0)
        return error_set(err, -errno, "no pipe for the command: %s", strerror(errno));
    l->go_fd = go[1];
    if (pipe2(failed, O_CLOEXEC) < 0) {
        close(go[0]);
        return error_set(err, -errno, "no pipe for the command: %s", strerror(errno));
    }
    l->failed_fd = failed[0];
    l->pid = fork();
    if (l->pid == 0) {
        close(go[1]);
        child_main(go[0], failed[1], argv, mask);
    }
    int rc = l->pid < 0 ? -errno : 0;
    close(go[0]);
    close(failed[1]);
    return rc < 0 ? error_set(err, rc, "can't start a process: %s", strerror(-rc)) : 0;
}

int launcher_go(struct launcher *l, const char *name, struct error *err)
{
    char text[600];
    int failed = 0;
    bool sent = write(l->go_fd, "g", 1) == 1;
    close(l->go_fd); /* without the byte the child exits */
    l->go_fd = -1;
    ssize_t n;
    while ((n = read(l->failed_fd, &failed, sizeof(failed))) < 0 && errno == EINTR)
        continue;
    if (sent && n == 0)
        return 0;
    while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    l->pid = 0;
    escape_text(text, sizeof(text), name, NULL);
    if (failed == ENOENT && !strchr(name, '/'))
        return error_set(err, -ENOENT, "%s: command not found", text);
    return error_set(err, failed ? -failed : -EIO, "%s: can't be executed: %s", text,
                     strerror(failed ? failed : EIO));
}

void launcher_release(struct launcher *l)
{
    if (l->go_fd >= 0)
        close(l->go_fd);
    if (l->failed_fd >= 0)
        close(l->failed_fd);
    *l = (struct launcher){.go_fd = -1, .failed_fd = -1};
}
