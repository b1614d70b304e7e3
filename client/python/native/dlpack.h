/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of other frameworks' tensors, by the DLPack protocol. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_DLPACK_H
#define CENOTE_CLIENT_PYTHON_NATIVE_DLPACK_H

#include "client/python/native/native.h"

struct dlpack_tensor;

/* Does an object offer it? */
bool dlpack_has(PyObject *object);

/* Takes an object's tensor: its memory, which stays until dlpack_close(). NULL with an exception
 * when it isn't contiguous, or not in memory that processors address. What is read-only exporters
 * refuse in this form of the protocol. */
struct dlpack_tensor *dlpack_open(PyObject *object, struct cenote_buffer *out);
void dlpack_close(struct dlpack_tensor *tensor);

#endif
