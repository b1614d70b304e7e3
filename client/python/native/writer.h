/* SPDX-License-Identifier: Apache-2.0 */
/* Writers: values that are put range by range. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_WRITER_H
#define CENOTE_CLIENT_PYTHON_NATIVE_WRITER_H

#include "client/python/native/handle.h"

/* Handle.writer(key, length, flags[, policy]) -> Writer with write(offset, data), commit(),
 * close(). */
PyObject *writer_open(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* Makes the type. 0, or -1 with an exception. */
int writer_init(void);

#endif
