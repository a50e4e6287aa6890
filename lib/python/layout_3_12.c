/* SPDX-License-Identifier: MIT */
#include "python/layout.h"

/*
 * Taken by offsetof() from the headers of CPython's tags v3.12.0 and those after it, which agree:
 * 3.12.0 to 3.12.14.
 */
const struct python_layout python_layout_3_12 = {
    .minor = 12,
    .frames = PYTHON_FRAMES_SHIM,
    .lines = PYTHON_LOCATIONS,
    /* _PyRuntimeState, PyInterpreterState: Include/internal/pycore_runtime.h, pycore_interp.h */
    .runtime_interpreters = 40,
    .runtime_gil = OX_PYTHON_NONE,
    .interp_next = 0,
    .interp_threads = 72,
    .interp_modules = 944,
    .interp_gil = 384,
    /* struct _gil_runtime_state: Include/internal/pycore_gil.h */
    .gil_bytes = 208,
    .gil_holder = 8,
    .gil_locked = 16,
    /* PyThreadState, _PyCFrame: Include/cpython/pystate.h */
    .thread_next = 8,
    .thread_interp = 16,
    .thread_id = 136,
    .thread_native_id = 144,
    .thread_frame = 56,
    .cframe_frame = 0,
    .cframe_previous = 8,
    /* _PyInterpreterFrame: Include/internal/pycore_frame.h */
    .frame_previous = 8,
    .frame_code = 0,
    .frame_instr = 56,
    .frame_owner = 70,
    .frame_is_entry = OX_PYTHON_NONE,
    .frame_tlbc = OX_PYTHON_NONE,
    .owner_generator = 1,
    .owner_shim = 3,
    .frame_bytes = 72,
    /* PyCodeObject: Include/cpython/code.h */
    .code_name = 120,
    .code_qualname = 128,
    .code_filename = 112,
    .code_firstlineno = 68,
    .code_lines = 136,
    .code_instrs = 192,
    .code_tlbc = OX_PYTHON_NONE,
    .code_bytes = 200,
    /* PyObject, PyTypeObject, PyASCIIObject, PyBytesObject: Include/object.h,
     * Include/cpython/object.h, Include/cpython/unicodeobject.h, Include/cpython/bytesobject.h */
    .object_type = 8,
    .type_name = 24,
    .unicode_length = 16,
    .unicode_state = 32,
    .unicode_ascii = 40,
    .unicode_compact = 56,
    .unicode_kind_shift = 2,
    /* PyTypeObject, PyHeapTypeObject, PyDictObject, PyModuleObject, PyLongObject */
    .type_basicsize = 32,
    .type_dictoffset = 288,
    .heap_type_keys = 880,
    .dict_keys = 32,
    .dict_values = 40,
    .module_dict = 16,
    .long_tag = 16,
    .long_digits = 24,
    .bytes_size = 16,
    .bytes_data = 32,
};
