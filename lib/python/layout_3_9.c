/* SPDX-License-Identifier: MIT */
#include "python/layout.h"

/*
 * Taken by offsetof() from the headers of CPython's tags v3.9.0 and those after it, which agree:
 * 3.9.0 to 3.9.25.
 */
const struct python_layout python_layout_3_9 = {
    .minor = 9,
    .frames = PYTHON_FRAME_OBJECTS,
    .lines = PYTHON_LNOTAB,
    /* _PyRuntimeState, PyInterpreterState: Include/internal/pycore_runtime.h, pycore_interp.h */
    .runtime_interpreters = 32,
    .runtime_gil = 352,
    .interp_next = 0,
    .interp_threads = 8,
    .interp_modules = 856,
    .interp_gil = OX_PYTHON_NONE,
    /* struct _gil_runtime_state: Include/internal/pycore_gil.h */
    .gil_bytes = 208,
    .gil_holder = 8,
    .gil_locked = 16,
    /* PyThreadState: Include/cpython/pystate.h */
    .thread_next = 8,
    .thread_interp = 16,
    .thread_id = 176,
    .thread_native_id = OX_PYTHON_NONE,
    .thread_frame = 24,
    .cframe_frame = OX_PYTHON_NONE,
    .cframe_previous = OX_PYTHON_NONE,
    /* PyFrameObject: Include/cpython/frameobject.h */
    .frame_previous = 24,
    .frame_code = 32,
    .frame_instr = 104,
    .frame_owner = OX_PYTHON_NONE,
    .frame_is_entry = OX_PYTHON_NONE,
    .frame_tlbc = OX_PYTHON_NONE,
    .owner_generator = 255,
    .owner_shim = 255,
    .frame_bytes = 128,
    /* PyCodeObject: Include/cpython/code.h */
    .code_name = 112,
    .code_qualname = OX_PYTHON_NONE,
    .code_filename = 104,
    .code_firstlineno = 40,
    .code_lines = 120,
    .code_instrs = OX_PYTHON_NONE,
    .code_tlbc = OX_PYTHON_NONE,
    .code_bytes = 176,
    /* PyObject, PyTypeObject, PyASCIIObject, PyBytesObject: Include/object.h,
     * Include/cpython/object.h, Include/cpython/unicodeobject.h, Include/cpython/bytesobject.h */
    .object_type = 8,
    .type_name = 24,
    .unicode_length = 16,
    .unicode_state = 32,
    .unicode_ascii = 48,
    .unicode_compact = 72,
    .unicode_kind_shift = 2,
    /* PyTypeObject, PyHeapTypeObject, PyDictObject, PyModuleObject, PyLongObject */
    .type_basicsize = 32,
    .type_dictoffset = 288,
    .heap_type_keys = 864,
    .dict_keys = 32,
    .dict_values = 40,
    .module_dict = 16,
    .long_tag = 16,
    .long_digits = 24,
    .bytes_size = 16,
    .bytes_data = 32,
};
