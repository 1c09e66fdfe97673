/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A notification's message_id and timestamp as texts, out of random bits and of a time.
 * stamps.py does the same in Python where this could not be compiled. Nothing is kept from one
 * call to the next. Stable ABI of Python 3.10.
 */

#include <Python.h>
#include <stdint.h>
#include <time.h>

#define ID_LENGTH 36   /* 8-4-4-4-12 digits */
#define TIME_LENGTH 26 /* 2026-11-22 11:16:32.270352 */
#define SECOND_NS 1000000000LL

/* Write the last digits of a number, so many of them; return what comes behind. */
static inline char *
write_digits(char *at, int digits, uint64_t number, unsigned base)
{
    for (int place = digits - 1; place >= 0; place--) {
        at[place] = "0123456789abcdef"[number % base];
        number /= base;
    }
    return at + digits;
}

static inline char *
write_group(char *at, int digits, uint64_t number, unsigned base, char after)
{
    at = write_digits(at, digits, number, base);
    *at = after;
    return at + 1;
}

static PyObject *
uuid_text(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    char text[ID_LENGTH];
    char *at = text;
    (void)module;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "uuid_text takes two numbers of 64 bits");
        return NULL;
    }
    uint64_t high = PyLong_AsUnsignedLongLong(arguments[0]);
    if (high == UINT64_MAX && PyErr_Occurred())
        return NULL;
    uint64_t low = PyLong_AsUnsignedLongLong(arguments[1]);
    if (low == UINT64_MAX && PyErr_Occurred())
        return NULL;
    high = (high & ~(uint64_t)0xF000) | (uint64_t)0x4000;     /* version 4: random */
    low = (low & ~((uint64_t)3 << 62)) | ((uint64_t)2 << 62); /* the variant of the RFC */
    at = write_group(at, 8, high >> 32, 16, '-');
    at = write_group(at, 4, high >> 16, 16, '-');
    at = write_group(at, 4, high, 16, '-');
    at = write_group(at, 4, low >> 48, 16, '-');
    write_digits(at, 12, low, 16);
    return PyUnicode_FromStringAndSize(text, ID_LENGTH);
}

static PyObject *
utc_text(PyObject *module, PyObject *since_1970_ns)
{
    char text[TIME_LENGTH];
    char *at = text;
    struct tm utc;
    (void)module;

    long long ns = PyLong_AsLongLong(since_1970_ns);
    if (ns == -1 && PyErr_Occurred())
        return NULL;
    time_t second = (time_t)(ns / SECOND_NS);
    long long rest_ns = ns % SECOND_NS;
    if (rest_ns < 0) {
        rest_ns += SECOND_NS;
        second--;
    }
    if (gmtime_r(&second, &utc) == NULL) {
        PyErr_SetString(PyExc_OverflowError, "no time that a timestamp can hold");
        return NULL;
    }
    at = write_group(at, 4, (uint64_t)(utc.tm_year + 1900), 10, '-');
    at = write_group(at, 2, (uint64_t)(utc.tm_mon + 1), 10, '-');
    at = write_group(at, 2, (uint64_t)utc.tm_mday, 10, ' ');
    at = write_group(at, 2, (uint64_t)utc.tm_hour, 10, ':');
    at = write_group(at, 2, (uint64_t)utc.tm_min, 10, ':');
    at = write_group(at, 2, (uint64_t)utc.tm_sec, 10, '.');
    write_digits(at, 6, (uint64_t)rest_ns / 1000, 10);
    return PyUnicode_FromStringAndSize(text, TIME_LENGTH);
}

static PyMethodDef METHODS[] = {
    {"uuid_text", (PyCFunction)(void (*)(void))uuid_text, METH_FASTCALL,
     PyDoc_STR("uuid_text(high, low, /)\n--\n\n"
               "Return a UUID of version 4 out of 128 random bits, of which six are overwritten.\n\n"
               "Raises OverflowError for a number that has not 64 bits, or is negative.")},
    {"utc_text", utc_text, METH_O,
     PyDoc_STR("utc_text(since_1970_ns, /)\n--\n\n"
               "Return a time as 2026-11-22 11:16:32.270352, in UTC; nanoseconds are cut off.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kafka_notify.core._stamps",
    .m_doc = PyDoc_STR("A notification's message_id and timestamp as texts."),
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC
PyInit__stamps(void)
{
    return PyModuleDef_Init(&MODULE);
}
