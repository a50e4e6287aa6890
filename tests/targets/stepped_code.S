/* SPDX-License-Identifier: MIT */

/*
 * Functions that compilers do not write, or not often, each with correct CFI at every instruction.
 * All but the last few: long NAME(long (*f)(long), long x) calls f(x).
 */

#define BEGIN(name)         \
        .globl name;        \
        .type name, @function; \
        .p2align 4;         \
name:   .cfi_startproc

#define END(name)           \
        .cfi_endproc;       \
        .size name, . - name

        .text

/* The CFA by an expression: DW_CFA_def_cfa_expression, 3 bytes, DW_OP_breg3 (rbx) 16 */
BEGIN(code_expression)
        push    %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rbx, -16
        mov     %rsp, %rbx
        .cfi_escape 0x0f, 0x02, 0x73, 0x10
        sub     $208, %rsp
        and     $-64, %rsp
        mov     %rdi, %rax
        mov     %rsi, %rdi
        call    *%rax
        mov     %rbx, %rsp
        .cfi_def_cfa %rsp, 16
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        ret
END(code_expression)

/* The CFA by a register that is neither RSP nor RBP, and RBP for something else. */
BEGIN(code_other_base)
        push    %r12
        .cfi_adjust_cfa_offset 8
        .cfi_offset %r12, -16
        push    %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rbp, -24
        mov     %rsp, %r12
        .cfi_def_cfa_register %r12
        mov     $-1, %rbp
        sub     $72, %rsp
        and     $-32, %rsp
        mov     %rdi, %rax
        mov     %rsi, %rdi
        call    *%rax
        mov     %r12, %rsp
        .cfi_def_cfa_register %rsp
        pop     %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        pop     %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        ret
END(code_other_base)

/* A leaf that keeps RBX in a register, and the callee-saved RBP in another (DW_CFA_register). */
BEGIN(code_moved_return)
        push    %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rbx, -16
        mov     %rbp, %r11
        .cfi_register %rbp, %r11
        mov     $7, %ebp
        lea     (%rsi,%rbp), %rax
        mov     %r11, %rbp
        .cfi_restore %rbp
        mov     %rdi, %rbx
        mov     %rsi, %rdi
        call    *%rbx
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        ret
END(code_moved_return)

/*
 * Every callee-saved register, and arguments that are pushed and dropped. The offsets are told as they
 * are: LLVM 14 counts on from where it was before .cfi_restore_state.
 */
BEGIN(code_pushes)
        push    %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rbp, -16
        push    %r15
        .cfi_adjust_cfa_offset 8
        .cfi_offset %r15, -24
        push    %r14
        .cfi_adjust_cfa_offset 8
        .cfi_offset %r14, -32
        push    %r13
        .cfi_adjust_cfa_offset 8
        .cfi_offset %r13, -40
        push    %r12
        .cfi_adjust_cfa_offset 8
        .cfi_offset %r12, -48
        push    %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rbx, -56
        .cfi_remember_state
        xor     %ebp, %ebp
        xor     %ebx, %ebx
        pushq   $1
        .cfi_adjust_cfa_offset 8
        pushq   $2
        .cfi_adjust_cfa_offset 8
        pushq   $3
        .cfi_adjust_cfa_offset 8
        mov     %rdi, %rax
        mov     %rsi, %rdi
        call    *%rax
        add     $24, %rsp
        .cfi_restore_state
        pop     %rbx
        .cfi_def_cfa_offset 48
        .cfi_restore %rbx
        pop     %r12
        .cfi_def_cfa_offset 40
        .cfi_restore %r12
        pop     %r13
        .cfi_def_cfa_offset 32
        .cfi_restore %r13
        pop     %r14
        .cfi_def_cfa_offset 24
        .cfi_restore %r14
        pop     %r15
        .cfi_def_cfa_offset 16
        .cfi_restore %r15
        pop     %rbp
        .cfi_def_cfa_offset 8
        .cfi_restore %rbp
        ret
END(code_pushes)

BEGIN(code_leave)
        push    %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rbp, -16
        mov     %rsp, %rbp
        .cfi_def_cfa_register %rbp
        sub     $32, %rsp
        mov     %rdi, %rax
        mov     %rsi, %rdi
        call    *%rax
        leave
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbp
        ret
END(code_leave)

/* Goes on in another function, whose caller is ours then. */
BEGIN(code_tail)
        sub     $40, %rsp
        .cfi_adjust_cfa_offset 40
        mov     %rdi, 8(%rsp)
        mov     8(%rsp), %rax
        mov     %rsi, %rdi
        add     $40, %rsp
        .cfi_adjust_cfa_offset -40
        jmp     *%rax
END(code_tail)

/* As GCC does where main realigns the stack: the CFA is saved in memory, found by an expression. */
BEGIN(code_realigned)
        lea     8(%rsp), %r10
        .cfi_def_cfa %r10, 0
        and     $-64, %rsp
        pushq   -8(%r10)
        push    %rbp
        mov     %rsp, %rbp
        /* DW_CFA_expression RBP: DW_OP_breg6 0 */
        .cfi_escape 0x10, 0x06, 0x02, 0x76, 0x00
        push    %r10
        /* DW_CFA_def_cfa_expression: DW_OP_breg6 -8, DW_OP_deref */
        .cfi_escape 0x0f, 0x03, 0x76, 0x78, 0x06
        sub     $136, %rsp
        mov     %rdi, %rax
        mov     %rsi, %rdi
        call    *%rax
        add     $136, %rsp
        pop     %r10
        .cfi_def_cfa %r10, 0
        pop     %rbp
        .cfi_same_value %rbp
        lea     -8(%r10), %rsp
        .cfi_def_cfa %rsp, 8
        ret
END(code_realigned)

/* SIGILL at a function's first instruction: the caller's CFI must not be taken for it. */
BEGIN(code_illegal)
        ud2
        ret
END(code_illegal)

/* As soon as the stack has grown: the row of the instruction counts, not the one before. */
BEGIN(code_illegal_behind)
        sub     $24, %rsp
        .cfi_adjust_cfa_offset 24
        ud2
        add     $24, %rsp
        .cfi_adjust_cfa_offset -24
        ret
END(code_illegal_behind)

BEGIN(code_call_wild)
        sub     $24, %rsp
        .cfi_adjust_cfa_offset 24
        call    *%rdi
        add     $24, %rsp
        .cfi_adjust_cfa_offset -24
        ret
END(code_call_wild)

        .section .note.GNU-stack, "", @progbits
