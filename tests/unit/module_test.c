/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "target/module.h"

enum { IMAGE_BYTES = 0x3000, NOTES_OFF = 0x400 };

/* A program of two segments, the second at another vaddr than its offset, and a build-id. */
struct image {
    Elf64_Ehdr e;
    Elf64_Phdr ph[5];
    uint8_t rest[IMAGE_BYTES - sizeof(Elf64_Ehdr) - 5 * sizeof(Elf64_Phdr)];
};

static struct image *image_new(void)
{
    static const uint32_t property[] = {4, 8, 5, 0x554e47, 0, 0};
    static const uint32_t build_id[] = {4, 4, NT_GNU_BUILD_ID, 0x554e47, 0x04030201};
    struct image *im = mem_alloc(sizeof(*im));
    memcpy(im->e.e_ident, ELFMAG "\2\1\1", 7);
    im->e.e_type = ET_DYN;
    im->e.e_machine = EM_X86_64;
    im->e.e_phoff = sizeof(im->e);
    im->e.e_phentsize = sizeof(Elf64_Phdr);
    im->e.e_phnum = 5;
    im->ph[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = 0x1000};
    im->ph[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                             .p_flags = PF_R | PF_X,
                             .p_offset = 0x1000,
                             .p_vaddr = 0x5000,
                             .p_filesz = 0x1800,
                             .p_memsz = 0x9000};
    im->ph[2] = (Elf64_Phdr){.p_type = PT_NOTE, .p_align = 8, .p_offset = NOTES_OFF};
    im->ph[2].p_filesz = sizeof(property);
    im->ph[3] = (Elf64_Phdr){.p_type = PT_NOTE, .p_align = 4, .p_offset = NOTES_OFF + 0x100};
    im->ph[3].p_filesz = sizeof(build_id);
    im->ph[4] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME, .p_vaddr = 0x5100, .p_filesz = 0x44};
    memcpy((uint8_t *)im + NOTES_OFF, property, sizeof(property));
    memcpy((uint8_t *)im + NOTES_OFF + 0x100, build_id, sizeof(build_id));
    for (size_t i = 0x1000; i < IMAGE_BYTES; i++)
        ((uint8_t *)im)[i] = (uint8_t)(i / 16);
    return im;
}

static void add_piece(struct module *m, const void *data, uint64_t off, uint64_t bytes)
{
    m->pieces = mem_resize(m->pieces, (m->n_pieces + 1) * sizeof(*m->pieces));
    uint8_t *copy = mem_alloc(bytes);
    memcpy(copy, data, bytes);
    m->pieces[m->n_pieces++] = (struct module_piece){.off = off, .bytes = bytes, .data = copy};
}

/* Takes the image. */
static struct module *module_of(struct modules *t, struct image *im)
{
    struct module *m = modules_add(t, 0, 0, "/lib/app");
    m->file_bytes = IMAGE_BYTES;
    add_piece(m, im, 0, IMAGE_BYTES);
    free(im);
    return m;
}

Test(module, headers)
{
    struct modules t = {0};
    struct module *m = module_of(&t, image_new());
    cr_assert_eq(module_read_headers(m), 0);
    cr_assert_str_eq(m->trouble, "");
    cr_assert_eq(m->n_loads, 2);
    cr_assert(m->position_independent);
    cr_assert_eq(m->loads[1].off, 0x1000);
    cr_assert_eq(m->loads[1].vaddr, 0x5000);
    cr_assert_eq(m->loads[1].file_bytes, 0x1800);
    cr_assert_eq(m->loads[1].flags, PF_R | PF_X);
    cr_assert_eq(m->eh_frame_hdr_vaddr, 0x5100);
    cr_assert_eq(m->eh_frame_hdr_bytes, 0x44);
    cr_assert_eq(m->build_id_bytes, 4);
    cr_assert_arr_eq(m->build_id, ((uint8_t[]){1, 2, 3, 4}), 4);
    modules_release(&t);
}

Test(module, offsets_and_vaddrs)
{
    struct modules t = {0};
    struct module *m = module_of(&t, image_new());
    uint64_t v = 7;
    cr_assert_eq(module_read_headers(m), 0);
    cr_assert(module_vaddr_of_off(m, 0x1000, &v));
    cr_assert_eq(v, 0x5000);
    cr_assert(module_vaddr_of_off(m, 0x27ff, &v));
    cr_assert_eq(v, 0x67ff);
    cr_assert_not(module_vaddr_of_off(m, 0x2800, &v), "behind the file's part of the segment");
    cr_assert(module_off_of_vaddr(m, 0xfff, &v));
    cr_assert_eq(v, 0xfff);
    cr_assert_not(module_off_of_vaddr(m, 0x1000, &v));
    cr_assert_not(module_off_of_vaddr(m, 0x6800, &v), ".bss has no bytes in the file");
    cr_assert_eq(v, 0xfff, "written on success only");
    uint8_t bytes[2];
    cr_assert_eq(module_read_vaddr(m, bytes, 2, 0x501f), 0);
    cr_assert_eq(bytes[0], 0x01);
    cr_assert_eq(bytes[1], 0x02);
    cr_assert_eq(module_read_vaddr(m, bytes, 2, 0x67ff), -EFAULT);
    cr_assert_eq(module_read_vaddr(m, bytes, 1, UINT64_MAX), -EFAULT);
    modules_release(&t);
}

Test(module, the_executable_segment_wins_where_two_show_the_same_bytes)
{
    struct modules t = {0};
    struct image *im = image_new();
    im->ph[0].p_filesz = 0x2000;
    struct module *m = module_of(&t, im);
    uint64_t v;
    cr_assert_eq(module_read_headers(m), 0);
    cr_assert(module_vaddr_of_off(m, 0x1800, &v));
    cr_assert_eq(v, 0x5800);
    cr_assert(module_vaddr_of_off(m, 0x800, &v));
    cr_assert_eq(v, 0x800);
    modules_release(&t);
}

Test(module, every_cut_of_the_file_is_survived)
{
    struct modules t = {0};
    struct image *im = image_new();
    for (size_t bytes = 1; bytes < NOTES_OFF + 0x200; bytes++) {
        struct module *m = modules_add(&t, 0, 0, "x");
        add_piece(m, im, 0, bytes);
        int rc = module_read_headers(m);
        bool whole = bytes >= sizeof(im->e) + sizeof(im->ph);
        cr_assert_eq(rc, whole ? 0 : -EBADMSG, "%zu bytes", bytes);
        cr_assert_eq(m->trouble[0] == '\0', whole);
        cr_assert_eq(m->n_loads, whole ? 2 : 0);
        cr_assert_eq(m->build_id_bytes, bytes >= NOTES_OFF + 0x100 + 20 ? 4 : 0, "%zu", bytes);
    }
    free(im);
    modules_release(&t);
}

static int headers_rc(struct modules *t, struct image *im)
{
    struct module *m = module_of(t, im);
    int rc = module_read_headers(m);
    cr_assert_eq(rc < 0, m->n_loads == 0);
    cr_assert_eq(rc < 0, m->trouble[0] != '\0');
    return rc;
}

Test(module, what_makes_no_sense_is_refused)
{
    struct modules t = {0};
    struct image *im = image_new();
    im->e.e_ident[EI_CLASS] = ELFCLASS32;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    im = image_new();
    im->e.e_machine = EM_AARCH64;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    im = image_new();
    im->e.e_type = ET_REL;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    im = image_new();
    im->e.e_phnum = 0xffff;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    im = image_new();
    im->e.e_phoff = UINT64_MAX - 8;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    im = image_new();
    im->ph[1].p_filesz = UINT64_MAX - 0x800;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    im = image_new();
    im->ph[1].p_vaddr = UINT64_MAX;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    im = image_new();
    im->ph[0].p_type = im->ph[1].p_type = PT_NULL;
    cr_assert_eq(headers_rc(&t, im), -EBADMSG);
    modules_release(&t);
}

Test(module, notes_that_lie_cost_the_build_id_only)
{
    struct modules t = {0};
    static const uint32_t sizes[] = {5, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(*sizes); i++) {
        struct image *im = image_new();
        ((Elf64_Nhdr *)((uint8_t *)im + NOTES_OFF + 0x100))->n_descsz = sizes[i / 2];
        if (i % 2)
            im->ph[3].p_filesz = UINT64_MAX;
        struct module *m = module_of(&t, im);
        cr_assert_eq(module_read_headers(m), 0);
        cr_assert_eq(m->build_id_bytes, 0);
    }
    modules_release(&t);
}

Test(module, trouble_of_a_file_that_could_not_be_opened_is_kept)
{
    struct modules t = {0};
    struct module *m = modules_add(&t, 1, 2, "/gone");
    cr_assert_eq(module_read_headers(m), -EBADMSG);
    cr_assert_str_neq(m->trouble, "");
    snprintf(m->trouble, sizeof(m->trouble), "replaced on disk since the program started");
    cr_assert_eq(module_read_headers(m), -EBADMSG);
    cr_assert_str_eq(m->trouble, "replaced on disk since the program started");
    modules_release(&t);
}

Test(module, pieces_are_read_across_and_holes_are_not)
{
    struct modules t = {0};
    struct module *m = modules_add(&t, 0, 0, "x");
    add_piece(m, "abcd", 0x1000, 4);
    add_piece(m, "efgh", 0x1004, 4);
    add_piece(m, "xyz", 0x1009, 3);
    char buf[8] = "-------";
    cr_assert_eq(module_read(m, buf, 6, 0x1001), 0);
    cr_assert_arr_eq(buf, "bcdefg-", 7);
    cr_assert_eq(module_read(m, buf, 4, 0x1006), -EFAULT);
    cr_assert_arr_eq(buf, "bcdefg-", 7, "all bytes or none");
    cr_assert_eq(module_read(m, buf, 1, 0xfff), -EFAULT);
    cr_assert_eq(module_read(m, buf, 3, 0x1009), 0);
    cr_assert_eq(module_read(m, buf, 4, 0x1009), -EFAULT);
    cr_assert_eq(module_read(m, buf, 2, UINT64_MAX), -EFAULT);
    cr_assert_eq(module_read(m, buf, SIZE_MAX, 0x1000), -EFAULT);
    cr_assert_eq(module_read(m, buf, 0, 0), 0);
    modules_release(&t);
}

Test(module, a_file_may_shrink)
{
    struct modules t = {0};
    struct module *m = modules_add(&t, 0, 0, "x");
    char buf[8];
    m->fd = memfd_create("module_test", MFD_CLOEXEC);
    m->file_bytes = 8;
    cr_assert_eq(write(m->fd, "12345678", 8), 8);
    cr_assert_eq(module_read(m, buf, 8, 0), 0);
    cr_assert_arr_eq(buf, "12345678", 8);
    cr_assert_eq(ftruncate(m->fd, 5), 0);
    cr_assert_eq(module_read(m, buf, 8, 0), -EFAULT);
    cr_assert_eq(module_read(m, buf, 5, 0), 0);
    cr_assert_eq(module_read(m, buf, 1, INT64_MAX), -EFAULT);
    cr_assert_eq(module_read(m, buf, 1, 1ull << 63), -EFAULT);
    modules_release(&t);
}

Test(module, touched_pages_are_noted)
{
    struct modules t = {0};
    struct module *m = module_of(&t, image_new());
    char buf[0x1800];
    m->file_bytes = 9 * 0x1000 + 1; /* ten pages; the bytes behind IMAGE_BYTES are gone */
    m->touched = mem_alloc(2);
    cr_assert_eq(module_read(m, buf, 1, 0xfff), 0);
    cr_assert_arr_eq(m->touched, ((uint8_t[]){0x01, 0}), 2);
    cr_assert_eq(module_read(m, buf, 0x1001, 0x1fff), 0);
    cr_assert_arr_eq(m->touched, ((uint8_t[]){0x07, 0}), 2);
    cr_assert_eq(module_read(m, buf, 0x1800, 0x9000), -EFAULT);
    cr_assert_arr_eq(m->touched, ((uint8_t[]){0x07, 0x02}), 2, "asked for, up to the file's end");
    cr_assert_eq(module_read(m, buf, 1, 0xa000), -EFAULT);
    cr_assert_eq(module_read(m, buf, 0, 0x5000), 0);
    cr_assert_arr_eq(m->touched, ((uint8_t[]){0x07, 0x02}), 2);
    modules_release(&t);
}

Test(module, short_names)
{
    static const char *const names[][2] = {
        {"/usr/lib/libc.so.6", "libc.so.6"},
        {"/usr/bin/a (deleted)", "a"},
        {"/memfd:jit (deleted)", "memfd:jit"},
        {"[vdso]", "[vdso]"},
        {"/srv/my app", "my app"},
        {"/", "/"},
        {"", ""},
        {"/ (deleted)", " (deleted)"},
    };
    struct modules t = {0};
    char buf[32], tiny[4];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const struct module *m = modules_add(&t, 0, i, names[i][0]);
        cr_assert_str_eq(module_short_name(m, buf, sizeof(buf)), names[i][1]);
    }
    cr_assert_str_eq(module_short_name(t.items[0], tiny, sizeof(tiny)), "lib");
    modules_release(&t);
}

Test(module, identity_is_device_inode_and_path)
{
    struct modules t = {0};
    struct module *a = modules_add(&t, 8, 100, "/a"), *b = modules_add(&t, 8, 100, "/b"),
                  *c = modules_add(&t, 9, 100, "/a");
    cr_assert_eq(modules_find(&t, 8, 100, "/a"), a);
    cr_assert_eq(modules_find(&t, 8, 100, "/b"), b);
    cr_assert_eq(modules_find(&t, 9, 100, "/a"), c);
    cr_assert_null(modules_find(&t, 8, 101, "/a"));
    cr_assert_eq(a->id, 0);
    cr_assert_eq(c->id, 2);
    cr_assert_eq(a->fd, -1);
    modules_release(&t);
    cr_assert_eq(t.n, 0);
    modules_release(NULL);
}

Test(module, past_the_limit_there_is_one_called_other)
{
    struct modules t = {0};
    for (uint64_t i = 0; i < MODULES_KEPT_MAX; i++) {
        cr_assert(!modules_full(&t));
        modules_add(&t, 8, i, "/x");
    }
    cr_assert(modules_full(&t));
    struct module *other = modules_other(&t);
    uint64_t vaddr = 0;
    uint8_t byte;
    cr_assert_str_eq(other->path, "[other]");
    cr_assert_eq(t.items[other->id], other);
    cr_assert_eq(modules_other(&t), other);
    cr_assert_eq(t.folded, 2);
    cr_assert(module_vaddr_of_off(other, 0x1234, &vaddr), "code there still has an address");
    cr_assert_eq(vaddr, 0x1234);
    cr_assert_eq(module_read_vaddr(other, &byte, 1, vaddr), -EFAULT);
    modules_release(&t);
}
