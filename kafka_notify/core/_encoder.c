/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record value of a plain notification, written in one pass: the inner JSON is escaped as the
 * text of the envelope while it is made, and a float that is NaN or infinite is met on the way.
 *
 * In Python the same takes three passes (see envelope.py, which does all that is not plain, and is
 * what runs where this could not be compiled). No Python code runs while it is written, so nothing
 * changes while it is read. Stable ABI of Python 3.10.
 */

#include <Python.h>
#include <stdint.h>
#include <string.h>

#define TOP 1            /* the level of a notification's fields */
#define DEEPEST 100      /* levels; what is deeper is left to Python */
#define ON_STACK 4096    /* bytes; most notifications take no memory but the result's */
#define LONGEST_INT 24   /* bytes of a 64-bit number, with its sign */
#define ESCAPED 7        /* bytes that one byte of a text takes at most: \\u001f */
#define PIECE 512        /* bytes of a text that room is made for at once */

static const char HEAD[] = "{\"oslo.version\":\"2.0\",\"oslo.message\":\"{";
static const char QUOTE[] = "\\\"";
static const char CONTEXT[] = "\\\"_context\\\":";
static const char TAIL[] = "}\"}";

typedef struct {
    char *start;
    char *end; /* of what is written */
    char *limit;
    char on_stack[ON_STACK];
} Output;

/* Why a value was not written. */
enum { WRITTEN = 0, NOT_PLAIN = 1, FAILED = 2 /* with an exception set */ };

static int
grow(Output *out, size_t size)
{
    size_t used = (size_t)(out->end - out->start);
    size_t capacity = (size_t)(out->limit - out->start);
    char *larger = NULL;

    if (size <= (size_t)PY_SSIZE_T_MAX / 4 && capacity <= (size_t)PY_SSIZE_T_MAX / 4) {
        while (capacity - used < size)
            capacity *= 2;
        larger = PyMem_Realloc(out->start == out->on_stack ? NULL : out->start, capacity);
    }
    if (larger == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    if (out->start == out->on_stack)
        memcpy(larger, out->on_stack, used);
    out->start = larger;
    out->end = larger + used;
    out->limit = larger + capacity;
    return WRITTEN;
}

static inline int
make_room(Output *out, size_t size)
{
    return size <= (size_t)(out->limit - out->end) ? WRITTEN : grow(out, size);
}

static inline int
write_bytes(Output *out, const char *bytes, size_t size)
{
    int outcome = make_room(out, size);
    if (outcome == WRITTEN) {
        memcpy(out->end, bytes, size);
        out->end += size;
    }
    return outcome;
}

/* Whether any of eight bytes is a control character, a quotation mark or a backslash. */
static inline int
any_to_escape(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = eight ^ (ones * '"');
    uint64_t backslash = eight ^ (ones * '\\');
    uint64_t found = (eight - ones * 0x20) | (quote - ones) | (backslash - ones);

    return (found & ~eight & highs) != 0;
}

/* The form of one byte that JSON escapes, escaped once more for the envelope. */
static char *
escape(char *end, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    char letter = 0;

    *end++ = '\\';
    *end++ = '\\';
    switch (byte) {
    case '\b': letter = 'b'; break;
    case '\t': letter = 't'; break;
    case '\n': letter = 'n'; break;
    case '\f': letter = 'f'; break;
    case '\r': letter = 'r'; break;
    case '"':
    case '\\':
        *end++ = '\\';
        letter = (char)byte;
        break;
    }
    if (letter) {
        *end++ = letter;
        return end;
    }
    memcpy(end, "u00", 3);
    end[3] = hex[byte >> 4];
    end[4] = hex[byte & 15];
    return end + 5;
}

/* Some bytes of a text; there is room for each in its longest form. */
static void
write_escaped(Output *out, const char *from, const char *last)
{
    char *end = out->end;

    while (from < last) {
        if (last - from >= 8) {
            uint64_t eight;
            memcpy(&eight, from, 8);
            if (!any_to_escape(eight)) {
                memcpy(end, &eight, 8);
                from += 8;
                end += 8;
                continue;
            }
        }
        unsigned char byte = (unsigned char)*from++;
        if (byte < 0x20 || byte == '"' || byte == '\\')
            end = escape(end, byte);
        else
            *end++ = (char)byte;
    }
    out->end = end;
}

/* A text in its quotation marks. */
static int
write_text(Output *out, PyObject *text)
{
    Py_ssize_t left;
    const char *from = PyUnicode_AsUTF8AndSize(text, &left);
    int outcome;

    if (from == NULL) {
        PyErr_Clear(); /* half a surrogate pair: Python's json spells it */
        return NOT_PLAIN;
    }
    if ((outcome = write_bytes(out, QUOTE, sizeof QUOTE - 1)) != WRITTEN)
        return outcome;
    while (left > 0) {
        Py_ssize_t size = left < PIECE ? left : PIECE;
        if ((outcome = make_room(out, (size_t)size * ESCAPED)) != WRITTEN)
            return outcome;
        write_escaped(out, from, from + size);
        from += size;
        left -= size;
    }
    return write_bytes(out, QUOTE, sizeof QUOTE - 1);
}

static int
write_int(Output *out, PyObject *number)
{
    char digits[LONGEST_INT];
    char *at = digits + LONGEST_INT;
    int overflow = 0;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);

    if (overflow)
        return NOT_PLAIN;
    unsigned long long left = value < 0 ? 0ull - (unsigned long long)value : (unsigned long long)value;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        *--at = '-';
    return write_bytes(out, at, (size_t)(digits + LONGEST_INT - at));
}

static int
write_float(Output *out, PyObject *number)
{
    double value = PyFloat_AsDouble(number);

    if (value - value != 0.0) /* NaN or infinite, which JSON cannot hold */
        return NOT_PLAIN;
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (text == NULL)
        return FAILED;
    int outcome = write_bytes(out, text, strlen(text));
    PyMem_Free(text);
    return outcome;
}

static int write_value(Output *out, PyObject *value, int depth);

/* Names and values, with commas between them. */
static int
write_members(Output *out, PyObject *members, int depth)
{
    Py_ssize_t place = 0;
    PyObject *name, *value;
    int outcome = WRITTEN;
    int first = 1;

    while (PyDict_Next(members, &place, &name, &value)) {
        if (Py_TYPE(name) != &PyUnicode_Type)
            return NOT_PLAIN;
        if (depth == TOP && PyUnicode_CompareWithASCIIString(name, "_context") == 0)
            return NOT_PLAIN; /* the context takes its place */
        if (!first && (outcome = write_bytes(out, ",", 1)) != WRITTEN)
            return outcome;
        first = 0;
        if ((outcome = write_text(out, name)) != WRITTEN)
            return outcome;
        if ((outcome = write_bytes(out, ":", 1)) != WRITTEN)
            return outcome;
        if ((outcome = write_value(out, value, depth)) != WRITTEN)
            return outcome;
    }
    return outcome;
}

static int
write_dict(Output *out, PyObject *value, int depth)
{
    int outcome = write_bytes(out, "{", 1);
    if (outcome == WRITTEN)
        outcome = write_members(out, value, depth);
    return outcome == WRITTEN ? write_bytes(out, "}", 1) : outcome;
}

static int
write_sequence(Output *out, PyObject *value, int depth)
{
    int is_list = Py_TYPE(value) == &PyList_Type;
    Py_ssize_t size = is_list ? PyList_Size(value) : PyTuple_Size(value);
    int outcome = write_bytes(out, "[", 1);

    for (Py_ssize_t at = 0; at < size && outcome == WRITTEN; at++) {
        PyObject *part = is_list ? PyList_GetItem(value, at) : PyTuple_GetItem(value, at);
        if (at > 0 && (outcome = write_bytes(out, ",", 1)) != WRITTEN)
            break;
        outcome = write_value(out, part, depth);
    }
    return outcome == WRITTEN ? write_bytes(out, "]", 1) : outcome;
}

/* Subclasses are not plain: what they mean is for Python to say. */
static int
write_value(Output *out, PyObject *value, int depth)
{
    PyTypeObject *type = Py_TYPE(value);

    if (type == &PyUnicode_Type)
        return write_text(out, value);
    if (value == Py_None)
        return write_bytes(out, "null", 4);
    if (value == Py_True)
        return write_bytes(out, "true", 4);
    if (value == Py_False)
        return write_bytes(out, "false", 5);
    if (type == &PyLong_Type)
        return write_int(out, value);
    if (type == &PyFloat_Type)
        return write_float(out, value);
    if (depth >= DEEPEST)
        return NOT_PLAIN;
    if (type == &PyDict_Type)
        return write_dict(out, value, depth + 1);
    if (type == &PyList_Type || type == &PyTuple_Type)
        return write_sequence(out, value, depth + 1);
    return NOT_PLAIN;
}

static int
write_notification(Output *out, PyObject *message, PyObject *context)
{
    int outcome = write_bytes(out, HEAD, sizeof HEAD - 1);

    if (outcome == WRITTEN)
        outcome = write_members(out, message, TOP);
    if (outcome == WRITTEN && PyDict_Size(message) > 0)
        outcome = write_bytes(out, ",", 1);
    if (outcome == WRITTEN)
        outcome = write_bytes(out, CONTEXT, sizeof CONTEXT - 1);
    if (outcome == WRITTEN)
        outcome = write_value(out, context, TOP);
    if (outcome == WRITTEN)
        outcome = write_bytes(out, TAIL, sizeof TAIL - 1);
    return outcome;
}

/* The record value, None if it is not plain. */
static PyObject *
encode_plain(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *value = NULL;
    Output out;
    (void)module;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "it takes a message and a context");
        return NULL;
    }
    out.start = out.end = out.on_stack;
    out.limit = out.on_stack + ON_STACK;
    int outcome = Py_TYPE(arguments[0]) == &PyDict_Type
                      ? write_notification(&out, arguments[0], arguments[1])
                      : NOT_PLAIN;
    if (outcome == WRITTEN)
        value = PyBytes_FromStringAndSize(out.start, out.end - out.start);
    else if (outcome == NOT_PLAIN)
        value = Py_NewRef(Py_None);
    if (out.start != out.on_stack)
        PyMem_Free(out.start);
    return value;
}

/* What encoder returns; it is called with the other function in the module's place. */
static PyObject *
encode(PyObject *otherwise, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *value = encode_plain(NULL, arguments, count);

    if (value == Py_None) {
        Py_DECREF(value);
        value = PyObject_CallFunctionObjArgs(otherwise, arguments[0], arguments[1], NULL);
    }
    return value;
}

static PyMethodDef ENCODE = {
    "encode", (PyCFunction)(void (*)(void))encode, METH_FASTCALL,
    PyDoc_STR("encode(message, context, /)\n--\n\n"
              "Return the record value of a notification's fields and its context.")};

static PyObject *
encoder(PyObject *module, PyObject *otherwise)
{
    (void)module;
    return PyCFunction_NewEx(&ENCODE, otherwise, NULL);
}

static PyMethodDef METHODS[] = {
    {"encoder", encoder, METH_O,
     PyDoc_STR("encoder(otherwise, /)\n--\n\n"
               "Return a function that does what encode_plain does, and calls the other one for\n"
               "what is not plain.")},
    {"encode_plain", (PyCFunction)(void (*)(void))encode_plain, METH_FASTCALL,
     PyDoc_STR("encode_plain(message, context, /)\n--\n\n"
               "Return the record value of a notification's fields and its context.\n\n"
               "None if it holds anything but dicts with texts as names, lists, tuples, texts,\n"
               "64-bit numbers, finite floats, bools and None, of these very types.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kafka_notify.core._encoder",
    .m_doc = PyDoc_STR("Plain notifications to record values, in one pass."),
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC
PyInit__encoder(void)
{
    return PyModuleDef_Init(&MODULE);
}
