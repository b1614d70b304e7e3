/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/dlpack.h"

/* The protocol's structures, as far as consumers of contiguous memory need them. */
enum { DEVICE_CPU = 1, DEVICE_CUDA = 2, DEVICE_CUDA_HOST = 3, DEVICE_ROCM_HOST = 11 };

struct dlpack_view {
    void *data;
    int32_t device_type, device_id;
    int32_t dimensions;
    uint8_t type_code, type_bits;
    uint16_t type_lanes;
    int64_t *shape, *strides; /* strides in elements; NULL: contiguous */
    uint64_t byte_offset;
};

struct dlpack_tensor {
    struct dlpack_view view;
    void *manager;
    void (*deleter)(struct dlpack_tensor *);
};

bool dlpack_has(PyObject *object)
{
    return PyObject_HasAttrString(object, "__dlpack__") != 0;
}

/* Where it is, asked before it is exported: that may wait for a device's streams. */
static int check_device(PyObject *object)
{
    PyObject *device = PyObject_CallMethod(object, "__dlpack_device__", NULL);
    int type = 0, id = 0;
    int ok = device != NULL && PyTuple_Check(device) && PyArg_ParseTuple(device, "ii", &type, &id);

    if (device != NULL && !ok && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "__dlpack_device__() gives no tuple of two numbers");
    Py_XDECREF(device);
    if (!ok)
        return -1;
    if (type == DEVICE_CPU || type == DEVICE_CUDA_HOST || type == DEVICE_ROCM_HOST)
        return 0;
    native_raise(CENOTE_NOT_SUPPORTED, type == DEVICE_CUDA
                                           ? "a tensor in CUDA memory; copy it to the host (.cpu())"
                                           : "a tensor in a device's memory; copy it to the host");
    return -1;
}

static bool is_contiguous(const struct dlpack_view *view)
{
    int64_t step = 1;

    for (int32_t i = view->dimensions; view->strides != NULL && i-- > 0;) {
        if (view->shape[i] == 0)
            return true;
        if (view->shape[i] != 1 && view->strides[i] != step)
            return false;
        step *= view->shape[i];
    }
    return true;
}

static int find_memory(const struct dlpack_view *view, struct cenote_buffer *out)
{
    uint64_t len = ((uint64_t)view->type_bits * view->type_lanes + 7) / 8;

    for (int32_t i = 0; i < view->dimensions; i++) {
        if (view->shape[i] < 0 || __builtin_mul_overflow(len, (uint64_t)view->shape[i], &len)) {
            PyErr_SetString(PyExc_BufferError, "the tensor's shape makes no sense");
            return -1;
        }
    }
    if (!is_contiguous(view)) {
        PyErr_SetString(PyExc_BufferError,
                        "the tensor isn't contiguous: give a copy (.contiguous())");
        return -1;
    }
    *out = (struct cenote_buffer){(char *)view->data + view->byte_offset, len};
    return 0;
}

/* Takes what a capsule carries: from now on it is ours to delete. */
static struct dlpack_tensor *take(PyObject *capsule)
{
    struct dlpack_tensor *tensor = PyCapsule_GetPointer(capsule, "dltensor");

    if (tensor != NULL && PyCapsule_SetName(capsule, "used_dltensor") != 0)
        tensor = NULL;
    return tensor;
}

struct dlpack_tensor *dlpack_open(PyObject *object, struct cenote_buffer *out)
{
    if (check_device(object) != 0)
        return NULL;
    PyObject *capsule = PyObject_CallMethod(object, "__dlpack__", NULL);
    struct dlpack_tensor *tensor = capsule != NULL ? take(capsule) : NULL;
    Py_XDECREF(capsule);
    if (tensor != NULL && find_memory(&tensor->view, out) != 0) {
        dlpack_close(tensor);
        tensor = NULL;
    }
    return tensor;
}

void dlpack_close(struct dlpack_tensor *tensor)
{
    PyObject *type, *value, *trace; /* the deleter may be Python's */

    PyErr_Fetch(&type, &value, &trace);
    if (tensor->deleter != NULL)
        tensor->deleter(tensor);
    PyErr_Restore(type, value, trace);
}
