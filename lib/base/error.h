/* SPDX-License-Identifier: MIT */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * One sentence for the user about what failed and what to try. Set where the failure happened,
 * printed once, by cmd/. Functions return 0 or a negative errno with these fixed meanings:
 * -ESRCH gone, -EPERM refused, -EFAULT unreadable, -EBADMSG malformed, -ENODATA nothing there,
 * -E2BIG over a limit.
 */
struct error {
    char text[1024];
};

/* Writes the sentence (cut to fit) and returns rc. err may be NULL. */
int error_set(struct error *err, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the program: out of memory, or a broken invariant of our own. */
_Noreturn void die(const char *what);

#endif
