/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extension module _cenote: what package cenote needs of libcenote, with as little of its own
 * as can be. Typing, documentation and convenience are Python's, in the folder beside.
 *
 * Rules of all files here: arguments are parsed, and Python objects touched, under the
 * interpreter's lock; calls that can wait are made without it. What a call uses is kept alive by
 * references, or buffers' exports, that are given up when it has returned, or its completion was
 * fetched.
 */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_NATIVE_H
#define CENOTE_CLIENT_PYTHON_NATIVE_NATIVE_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000 /* 3.11: the first with buffers */
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <cenote/cenote.h>

/* How a method that takes positional arguments is entered into a table. */
#define NATIVE_FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL
#define NATIVE_NONE(function) (PyCFunction)(function), METH_NOARGS

/* Raises the exception of cenote.errors for a status. Always NULL. */
PyObject *native_raise(int status, const char *what);
/* The same, with a key that tells which value it was about. */
PyObject *native_raise_key(int status, PyObject *key);

/* Raises TypeError unless a call has so many arguments. 0, or -1. */
int native_arity(const char *name, Py_ssize_t given, Py_ssize_t wanted);
/* The same of a call whose last argument may be left out. */
int native_arity_or_less(const char *name, Py_ssize_t given, Py_ssize_t most);

/* An argument as an unsigned number of 32 bits. 0, or -1 with an exception. */
int native_u32(PyObject *value, uint32_t *out);

/* An argument as text without NUL, which belongs to it. 0, or -1 with an exception. */
int native_text(PyObject *value, const char **out);

/* Frees an object of one of our types, and its reference to its type. */
void native_free(PyObject *self);

/* How often this process's line has forked since the module was loaded: a handle from before
 * belongs to a parent. */
unsigned native_forks(void);

/* Creates a type without a constructor; it isn't put into the module. */
PyTypeObject *native_type(PyType_Spec *spec);

#endif
