/* SPDX-License-Identifier: MIT */
/* What a namer's process holds, and with whom it ends. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "namer_fixture.h"

Test(namer_child, holds_only_the_files_of_modules)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    f.b->fd = open("/dev/null", O_RDONLY);
    namer_ask(f.n, f.a, DO(SHOW_FILES, 1), 1);
    cr_expect_str_eq(next(&f).lines[0].name, "5", "stdin, stdout, stderr, socket, module");
    close(fds[1]);
    char byte;
    cr_expect_eq(read(fds[0], &byte, 1), 0, "the pipe has ended for its reader");
    close(fds[0]);
    teardown(&f);
}

static bool first_kept(void *fd, size_t i, int *ret_fd)
{
    *ret_fd = *(int *)fd;
    return i == 0;
}

Test(namer_child, holds_what_it_is_told_to)
{
    struct fixture f = {0};
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct namer_options opt = with_answer;
    opt.kept_fd = first_kept;
    opt.kept_arg = &fds[1];
    setup(&f, &opt);
    namer_ask(f.n, f.a, DO(SHOW_FILES, 1), 1);
    cr_expect_str_eq(next(&f).lines[0].name, "5", "stdin, stdout, stderr, socket, pipe");
    teardown(&f);
    close(fds[0]);
    close(fds[1]);
}

Test(namer_child, is_harmless)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    namer_ask(f.n, f.a, DO(SHOW_SELF, 1), 1);
    cr_expect_str_eq(next(&f).lines[0].name, "death 9 dump 0 privs 1 core 0 int 1 segv 0");
    teardown(&f);
}

Test(namer_child, dies_with_who_asked)
{
    int pid_pipe[2];
    pid_t pid = 0;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    cr_assert_eq(pipe(pid_pipe), 0);
    pid_t asker = fork();
    if (asker == 0) {
        struct fixture f = {0};
        setup(&f, &with_answer);
        namer_ask(f.n, f.a, DO(GOOD, 1), 1);
        expect_good(&f, f.a, 1);
        struct namer_answer none;
        namer_ask(f.n, f.a, DO(HANG, 2), 2); /* else it might end because nobody asks any more */
        cr_assert_not(namer_take(f.n, &none));
        pid = namer_pid(f.n);
        if (write(pid_pipe[1], &pid, sizeof(pid)) < 0)
            _exit(1);
        pause();
    }
    cr_assert_eq(read(pid_pipe[0], &pid, sizeof(pid)), sizeof(pid));
    kill(asker, SIGKILL);
    cr_assert_eq(waitpid(asker, NULL, 0), asker);
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid); /* ours, as the next who adopts orphans */
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(pid_pipe[0]);
    close(pid_pipe[1]);
}

Test(namer_child, a_copy_of_the_asker_has_one_of_its_own)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    namer_ask(f.n, f.a, DO(GOOD, 1), 1);
    expect_good(&f, f.a, 1);
    pid_t ours = namer_pid(f.n);
    namer_ask(f.n, f.a, DO(GOOD, 2), 2);
    pid_t copy = fork();
    if (copy == 0) {
        expect_good(&f, f.a, 2);
        bool another = namer_pid(f.n) != ours && namer_pid(f.n) > 0;
        namer_free(f.n);
        _exit(another ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(copy, &status, 0), copy);
    cr_expect_eq(status, 0);
    expect_good(&f, f.a, 2);
    cr_expect_eq(namer_pid(f.n), ours);
    teardown(&f);
}
