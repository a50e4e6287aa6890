/* SPDX-License-Identifier: MIT */
#ifndef STEPPED_H
#define STEPPED_H

/* What the parts of `stepped` call of each other: see stepped.c. */

#ifdef __cplusplus
extern "C" {
#endif

/* stepped_lib.c: a shared library, called through its linkage table */
long far_add(long a, long b);
long far_apply(long (*f)(long), long x);
double far_mix(double a, long b, float c);
long far_chain(long depth);
long far_variadic(int n, ...);
long far_own(long x);

/* stepped_code.S: what compilers do not write */
long code_expression(long (*f)(long), long x);
long code_other_base(long (*f)(long), long x);
long code_moved_return(long (*f)(long), long x);
long code_pushes(long (*f)(long), long x);
long code_leave(long (*f)(long), long x);
long code_tail(long (*f)(long), long x);
long code_realigned(long (*f)(long), long x);
void code_illegal(void);
void code_illegal_behind(void);
void code_call_wild(void *address);

/* stepped_throw.cc */
long throw_and_catch(long depth);
long throw_rethrown(long depth);
long throw_cleanups(long depth);

#ifdef __cplusplus
}
#endif

#endif
