/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is named by its address. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_RAW_H
#define CENOTE_CLIENT_PYTHON_NATIVE_RAW_H

#include "client/python/native/native.h"

/* Reads a tuple (address, length). 0, or -1 with an exception. */
int raw_parse(PyObject *pair, struct cenote_buffer *out);

/* Is all of it mapped, and may it be used so? What lies in pages that aren't is an exception
 * instead of a crash, and what was freed but is still mapped can't be told. 0, or -1 with an
 * exception. */
int raw_check(const struct cenote_buffer *memory, bool writing);

#endif
