/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <cenote/policy.h>

#include "client/python/native/handle.h"
#include "client/python/native/native.h"
#include "client/python/native/view.h"
#include "client/python/native/writer.h"

static atomic_uint forks;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

unsigned native_forks(void)
{
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* ---- what all files use ---------------------------------------------------------------------- */

/* Calls cenote.errors.make(status, what): the classes are Python's. Steals `what`. */
static PyObject *raise_about(int status, PyObject *what)
{
    PyObject *errors = what != NULL ? PyImport_ImportModule("cenote.errors") : NULL;
    PyObject *error =
        errors != NULL ? PyObject_CallMethod(errors, "make", "iO", status, what) : NULL;

    if (error != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_XDECREF(error);
    Py_XDECREF(errors);
    Py_XDECREF(what);
    return NULL;
}

PyObject *native_raise(int status, const char *what)
{
    return raise_about(status, PyUnicode_FromString(what));
}

PyObject *native_raise_key(int status, PyObject *key)
{
    Py_INCREF(key);
    return raise_about(status, key);
}

int native_arity(const char *name, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given == wanted)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, wanted, given);
    return -1;
}

int native_arity_or_less(const char *name, Py_ssize_t given, Py_ssize_t most)
{
    return given == most - 1 ? 0 : native_arity(name, given, most);
}

int native_u32(PyObject *value, uint32_t *out)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(value);

    if (PyErr_Occurred())
        return -1;
    if (number > UINT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "%R is too large", value);
        return -1;
    }
    *out = (uint32_t)number;
    return 0;
}

int native_text(PyObject *value, const char **out)
{
    Py_ssize_t len = 0;
    const char *text = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, &len) : NULL;

    if (text != NULL && strlen(text) == (size_t)len) {
        *out = text;
        return 0;
    }
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "a str without NUL is wanted, not %R", value);
    return -1;
}

void native_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    release(self);
    Py_DECREF((PyObject *)type);
}

PyTypeObject *native_type(PyType_Spec *spec)
{
    return (PyTypeObject *)PyType_FromSpec(spec);
}

/* ---- the module ------------------------------------------------------------------------------ */

static PyObject *version(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromString(cenote_version());
}

static PyMethodDef functions[] = {
    {"version", NATIVE_NONE(version), NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_cenote",
    .m_size = -1, /* one interpreter of a process */
    .m_methods = functions,
};

/* {name: (number, text)} */
static int add_statuses(PyObject *module)
{
    static const int numbers[] = {
#define STATUS_NUMBER(name, number, text) number,
        CENOTE_STATUS_MAP(STATUS_NUMBER)
#undef STATUS_NUMBER
    };
    PyObject *all = PyDict_New();
    int result = all != NULL ? 0 : -1;

    for (size_t i = 0; result == 0 && i < sizeof numbers / sizeof *numbers; i++) {
        PyObject *pair = Py_BuildValue("is", numbers[i], cenote_status_text(numbers[i]));
        result =
            pair != NULL ? PyDict_SetItemString(all, cenote_status_name(numbers[i]), pair) : -1;
        Py_XDECREF(pair);
    }
    if (result == 0)
        result = PyModule_AddObjectRef(module, "STATUSES", all);
    Py_XDECREF(all);
    return result;
}

static int add_limits(PyObject *module)
{
    return PyModule_AddIntConstant(module, "BATCH_MAX", CENOTE_BATCH_MAX) != 0 ||
                   PyModule_AddIntConstant(module, "KEY_MAX", CENOTE_KEY_MAX) != 0 ||
                   PyModule_AddIntConstant(module, "REPLICAS_MAX", CENOTE_REPLICAS_MAX) != 0 ||
                   PyModule_AddIntConstant(module, "GROUP_MAX", CENOTE_GROUP_MAX) != 0 ||
                   PyModule_AddIntConstant(module, "TTL_MAX_MS", CENOTE_TTL_MAX_MS) != 0
               ? -1
               : 0;
}

PyMODINIT_FUNC PyInit__cenote(void);

PyMODINIT_FUNC PyInit__cenote(void)
{
    static bool watching;
    PyObject *module = PyModule_Create(&definition);

    if (module == NULL)
        return NULL;
    if (add_statuses(module) != 0 || add_limits(module) != 0 || handle_init(module) != 0 ||
        view_init(module) != 0 || writer_init() != 0) {
        Py_DECREF(module);
        return NULL;
    }
    if (!watching && pthread_atfork(NULL, NULL, count_fork) == 0)
        watching = true;
    return module;
}
