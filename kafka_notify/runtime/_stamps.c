/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A notification's message_id and timestamp as texts. stamps.py does the same in Python where this
 * could not be compiled, and seeds the ids here as there. No Python code runs in here: who holds
 * the interpreter has the module's state to himself. Stable ABI of Python 3.10.
 */

#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define ID_LENGTH 36   /* 8-4-4-4-12 digits */
#define TIME_LENGTH 26 /* 2026-11-22 11:16:32.270352 */
#define SECOND_LENGTH 20 /* of it up to the point */
#define SECOND_NS 1000000000LL
#define SEED_LENGTH 32 /* bytes */

typedef struct {
    uint64_t random[SEED_LENGTH / 8];
    time_t second; /* the last one, and its text, if there is one */
    char text[SECOND_LENGTH];
    int has_text;
} State;

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

static inline uint64_t
rotate_left(uint64_t bits, int places)
{
    return bits << places | bits >> (64 - places);
}

/* xoshiro256++ of Blackman and Vigna: 2^256 - 1 numbers until they come again. */
static uint64_t
next_random(uint64_t *of)
{
    uint64_t result = rotate_left(of[0] + of[3], 23) + of[0];
    uint64_t shifted = of[1] << 17;

    of[2] ^= of[0];
    of[3] ^= of[1];
    of[1] ^= of[2];
    of[0] ^= of[3];
    of[2] ^= shifted;
    of[3] = rotate_left(of[3], 45);
    return result;
}

static PyObject *
seed(PyObject *module, PyObject *bits)
{
    State *state = PyModule_GetState(module);
    char *bytes;
    Py_ssize_t size;

    if (PyBytes_AsStringAndSize(bits, &bytes, &size) < 0)
        return NULL;
    if (size != SEED_LENGTH) {
        PyErr_SetString(PyExc_ValueError, "a seed has 32 bytes");
        return NULL;
    }
    memcpy(state->random, bytes, SEED_LENGTH);
    return Py_NewRef(Py_None);
}

static PyObject *
message_id(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    char text[ID_LENGTH];
    char *at = text;
    uint64_t high, low;

    if (count == 0) {
        high = next_random(state->random);
        low = next_random(state->random);
    }
    else if (count == 2) {
        high = PyLong_AsUnsignedLongLong(arguments[0]);
        if (high == UINT64_MAX && PyErr_Occurred())
            return NULL;
        low = PyLong_AsUnsignedLongLong(arguments[1]);
        if (low == UINT64_MAX && PyErr_Occurred())
            return NULL;
    }
    else {
        PyErr_SetString(PyExc_TypeError, "message_id takes nothing, or two numbers of 64 bits");
        return NULL;
    }
    high = (high & ~(uint64_t)0xF000) | (uint64_t)0x4000;     /* version 4: random */
    low = (low & ~((uint64_t)3 << 62)) | ((uint64_t)2 << 62); /* the variant of the RFC */
    at = write_group(at, 8, high >> 32, 16, '-');
    at = write_group(at, 4, high >> 16, 16, '-');
    at = write_group(at, 4, high, 16, '-');
    at = write_group(at, 4, low >> 48, 16, '-');
    write_digits(at, 12, low, 16);
    return PyUnicode_FromStringAndSize(text, ID_LENGTH);
}

/* A second's text, in UTC, with the point behind it. */
static int
write_second(State *state, time_t second)
{
    char *at = state->text;
    struct tm utc;

    if (gmtime_r(&second, &utc) == NULL) {
        PyErr_SetString(PyExc_OverflowError, "no time that a timestamp can hold");
        return -1;
    }
    at = write_group(at, 4, (uint64_t)(utc.tm_year + 1900), 10, '-');
    at = write_group(at, 2, (uint64_t)(utc.tm_mon + 1), 10, '-');
    at = write_group(at, 2, (uint64_t)utc.tm_mday, 10, ' ');
    at = write_group(at, 2, (uint64_t)utc.tm_hour, 10, ':');
    at = write_group(at, 2, (uint64_t)utc.tm_min, 10, ':');
    write_group(at, 2, (uint64_t)utc.tm_sec, 10, '.');
    state->second = second;
    state->has_text = 1;
    return 0;
}

static PyObject *
timestamp(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    char text[TIME_LENGTH];
    struct timespec at;

    if (count == 0) {
        clock_gettime(CLOCK_REALTIME, &at);
    }
    else if (count == 1) {
        long long ns = PyLong_AsLongLong(arguments[0]);
        if (ns == -1 && PyErr_Occurred())
            return NULL;
        at.tv_sec = (time_t)(ns / SECOND_NS);
        at.tv_nsec = (long)(ns % SECOND_NS);
        if (at.tv_nsec < 0) {
            at.tv_nsec += (long)SECOND_NS;
            at.tv_sec--;
        }
    }
    else {
        PyErr_SetString(PyExc_TypeError, "timestamp takes nothing, or one number");
        return NULL;
    }
    if (!(state->has_text && state->second == at.tv_sec) && write_second(state, at.tv_sec) < 0)
        return NULL;
    memcpy(text, state->text, SECOND_LENGTH);
    write_digits(text + SECOND_LENGTH, TIME_LENGTH - SECOND_LENGTH, (uint64_t)at.tv_nsec / 1000, 10);
    return PyUnicode_FromStringAndSize(text, TIME_LENGTH);
}

static PyMethodDef METHODS[] = {
    {"seed", seed, METH_O,
     PyDoc_STR("seed(bits, /)\n--\n\n"
               "Begin the ids anew, at 32 random bytes.")},
    {"message_id", (PyCFunction)(void (*)(void))message_id, METH_FASTCALL,
     PyDoc_STR("message_id(high=<random>, low=<random>, /)\n--\n\n"
               "Return a UUID of version 4 out of 128 random bits, of which six are overwritten.\n\n"
               "Raises OverflowError for a number that has not 64 bits, or is negative.")},
    {"timestamp", (PyCFunction)(void (*)(void))timestamp, METH_FASTCALL,
     PyDoc_STR("timestamp(since_1970_ns=<now>, /)\n--\n\n"
               "Return a time as 2026-11-22 11:16:32.270352, in UTC; nanoseconds are cut off.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kafka_notify.runtime._stamps",
    .m_doc = PyDoc_STR("A notification's message_id and timestamp as texts."),
    .m_size = sizeof(State),
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC
PyInit__stamps(void)
{
    return PyModuleDef_Init(&MODULE);
}
