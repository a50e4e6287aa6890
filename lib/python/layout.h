/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_LAYOUT_H
#define PYTHON_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "python/memory.h"

/*
 * Where CPython keeps what we read, for one version. Figures are offsets in bytes of a field in its
 * struct, on x86-64. Those of 3.8 to 3.12 are tables, one file for each; from 3.13 on the
 * interpreter says them itself (struct _Py_DebugOffsets at the beginning of _PyRuntime).
 */

/* How the frames of a thread hang together. */
enum python_frames {
    /* 3.8 to 3.10: PyFrameObject, each on the heap, one for each call of the evaluator. */
    PYTHON_FRAME_OBJECTS,
    /* 3.11: PyThreadState.cframe, in the evaluator's own C frame, holds the current frame; that of
     * the evaluator's caller is told by frame.is_entry. */
    PYTHON_FRAMES_3_11,
    /* 3.12 and later: below the frames of each call of the evaluator lies one more, in its C frame.
     */
    PYTHON_FRAMES_SHIM,
};

enum python_lines { PYTHON_LNOTAB, PYTHON_LINETABLE_3_10, PYTHON_LOCATIONS };

enum { PYTHON_FRAME_BYTES_MAX = 160, PYTHON_CODE_BYTES_MAX = 512, PYTHON_THREAD_BYTES_MAX = 512 };

#define OX_PYTHON_NONE UINT32_MAX /* this version has no such field */

struct python_layout {
    unsigned minor; /* 11 for 3.11 */
    bool free_threaded;
    enum python_frames frames;
    enum python_lines lines;

    uint32_t runtime_interpreters; /* _PyRuntimeState.interpreters.head */
    uint32_t runtime_gil;          /* .ceval.gil: the struct itself; until 3.11 */
    uint32_t interp_next, interp_threads, interp_modules;
    uint32_t interp_gil; /* PyInterpreterState.ceval.gil: a pointer; since 3.12 */
    uint32_t gil_bytes, gil_holder, gil_locked; /* struct _gil_runtime_state */

    uint32_t thread_next, thread_interp, thread_id, thread_native_id;
    uint32_t thread_frame;                  /* the frame, or the cframe */
    uint32_t cframe_frame, cframe_previous; /* 3.11, 3.12; NONE: thread_frame is the frame */

    uint32_t frame_previous, frame_code, frame_instr;
    uint32_t frame_owner, frame_is_entry;
    uint32_t frame_tlbc; /* the thread's own copy of the code: free-threaded builds since 3.14 */
    uint8_t owner_generator, owner_shim;
    uint32_t frame_bytes; /* as much of a frame as is read */

    uint32_t code_name, code_qualname, code_filename, code_firstlineno, code_lines;
    uint32_t code_instrs; /* since 3.11 */
    uint32_t code_tlbc;
    uint32_t code_bytes;

    uint32_t object_type, type_name;
    uint32_t unicode_length, unicode_state, unicode_ascii, unicode_compact; /* where text begins */
    uint32_t unicode_kind_shift;
    uint32_t bytes_size, bytes_data;
    /* for attributes and dictionaries: see attributes.c */
    uint32_t type_basicsize, type_dictoffset, heap_type_keys, dict_keys, dict_values, module_dict;
    uint32_t long_tag, long_digits;
};

extern const struct python_layout python_layout_3_8, python_layout_3_9, python_layout_3_10,
    python_layout_3_11, python_layout_3_12;

/* The table for 3.minor; NULL where there is none. */
const struct python_layout *python_layout_find(unsigned minor);

/*
 * What _PyRuntime, at that address, says of itself: 0, -ENODATA where it says nothing (before
 * 3.13), -ENOTSUP for a version later than those known (*ret_minor tells), -EBADMSG where figures
 * make no sense, -EFAULT.
 */
int python_layout_read(const struct python_memory *m, uint64_t runtime, struct python_layout *ret,
                       unsigned *ret_minor);

#endif
