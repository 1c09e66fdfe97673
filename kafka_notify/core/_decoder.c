/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plain notification out of its record value, read in one pass: the inner JSON is read out of
 * the escaped text of the envelope, without undoing the escapes first.
 *
 * In Python the same takes two parsers, one after the other (see envelope.py, which reads all that
 * is not plain, says what is wrong with it, and is what runs where this could not be compiled).
 * The value may be anything: nothing is read beyond its end. Stable ABI of Python 3.10.
 *
 * One character of the inner JSON is, in the value:
 *
 *     "     \"       the quotation mark around a text
 *     \     \\       what begins an escape, such as \\n or \\u00e9
 *     \"    \\\"     a quotation mark in a text
 *     \\    \\\\     a backslash in a text
 *
 * and all others are themselves. Where the envelope has other escapes it is not plain.
 *
 * What reads something returns NULL, or 0, for what is not plain, with an exception set only where
 * there was no memory.
 */

#include <Python.h>
#include <stdint.h>
#include <string.h>

#define DEEPEST 100      /* levels; what is deeper is left to Python */
#define MOST_DIGITS 18   /* of an integer: all of these fit into 64 bits */
#define ON_STACK 512     /* bytes; few texts with escapes take memory but the result's */
#define KNOWN_BITS 10    /* of the number of a place: so many texts are kept */
#define LONGEST_NAME 64  /* bytes of a name that is kept */
#define LONGEST_VALUE 16 /* bytes of another text; longer ones are ids and times, mostly new */

static const char VERSION[] = "\"oslo.version\"";
static const char OUR_VERSION[] = "\"2.0\"";
static const char MESSAGE[] = "\"oslo.message\"";

/* A text that was met before, or NULL. It was written without escapes. */
typedef struct Known {
    PyObject *text;
    const char *bytes; /* the text's own, in UTF-8 */
    uint32_t sign; /* its size in the lowest byte, and a part of its hash */
    uint32_t turn; /* in the first of two places: its lowest bit is the one that is taken next */
    struct Known *next; /* of a name: the place of the one that came after it, or NULL */
} Known;

/*
 * Names come again in each notification, mostly in the same order, and so do short texts. Each has
 * two places, which others that belong there take over in turns. That may happen whenever a dict
 * or list is made, since the garbage collector runs code of others: what is taken from here is
 * owned at once.
 */
typedef struct {
    Known names[1 << KNOWN_BITS];
    Known values[1 << KNOWN_BITS];
    Known before_all; /* no name; the first one of all comes after it */
} Memory;

typedef struct {
    const char *at;
    const char *end;
    Memory *memory;
    Known *last_name;
    char on_stack[ON_STACK];
} Input;

/* The bytes of a text, without escapes. */
typedef struct {
    const char *from;
    size_t size;
    char *allocated; /* or NULL; to be freed */
} Span;

/* The fields in the order of Notification, and their names on the wire. */
enum { PRIORITY, PUBLISHER_ID, EVENT_TYPE, PAYLOAD, CONTEXT, MESSAGE_ID, TIMESTAMP, FIELDS };

static const struct {
    const char *name;
    size_t size;
} WIRE[FIELDS] = {
    [PRIORITY] = {"priority", 8},
    [PUBLISHER_ID] = {"publisher_id", 12},
    [EVENT_TYPE] = {"event_type", 10},
    [PAYLOAD] = {"payload", 7},
    [CONTEXT] = {"_context", 8},
    [MESSAGE_ID] = {"message_id", 10},
    [TIMESTAMP] = {"timestamp", 9},
};

/* Those of message.py. */
static const char *const PRIORITIES[] = {
    "audit", "debug", "info", "warn", "error", "critical", "sample",
};
#define LONGEST_PRIORITY 8

static inline uint64_t
eight_at(const char *from)
{
    uint64_t eight;
    memcpy(&eight, from, 8);
    return eight;
}

static inline uint32_t
four_at(const char *from)
{
    uint32_t four;
    memcpy(&four, from, 4);
    return four;
}

/* What comes next, 0 at the end; no byte 0 is plain anywhere. */
static inline char
next_byte(const Input *in)
{
    return in->at < in->end ? *in->at : '\0';
}

/* Take these bytes if they are what comes next. */
static inline int
take(Input *in, const char *bytes, size_t size)
{
    if ((size_t)(in->end - in->at) < size || memcmp(in->at, bytes, size) != 0)
        return 0;
    in->at += size;
    return 1;
}

static inline int
take_byte(Input *in, char byte)
{
    if (next_byte(in) != byte)
        return 0;
    in->at++;
    return 1;
}

/* The quotation mark around a text of the inner JSON. */
static inline int
take_quote(Input *in)
{
    if (in->end - in->at < 2 || in->at[0] != '\\' || in->at[1] != '"')
        return 0;
    in->at += 2;
    return 1;
}

/* White space between the tokens of the inner JSON: all other has an escape of the envelope. */
static inline void
skip_spaces(Input *in)
{
    while (next_byte(in) == ' ')
        in->at++;
}

static inline void
skip_outer_space(Input *in)
{
    for (;;) {
        char byte = next_byte(in);
        if (byte != ' ' && byte != '\t' && byte != '\n' && byte != '\r')
            return;
        in->at++;
    }
}

/*
 * The highest bits of those of eight bytes that are control characters, quotation marks or
 * backslashes. Above the lowest of them (as of a number) there may be others by mistake.
 */
static inline uint64_t
special_of(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = eight ^ (ones * '"');
    uint64_t backslash = eight ^ (ones * '\\');
    uint64_t found = (eight - ones * 0x20) | (quote - ones) | (backslash - ones);

    return found & ~eight & highs;
}

/* The first control character, quotation mark or backslash, or the end. */
static inline const char *
find_special(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t found = special_of(eight_at(at));
        if (found) {
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return at + (__builtin_ctzll(found) >> 3);
#else
            break;
#endif
        }
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* A hash of a text's size, beginning, middle and end; its highest bits are the best. */
static inline uint64_t
hash_of(const char *from, size_t size)
{
    /* Odd numbers, by which all bits count for the highest ones. */
    const uint64_t first = 0xC2B2AE3D27D4EB4Fu, middle = 0x165667B19E3779F9u;
    const uint64_t last = 0xD6E8FEB86659FD93u;
    uint64_t hash = size * 0x9E3779B97F4A7C15u;

    if (size >= 8) {
        hash += eight_at(from) * first;
        hash += eight_at(from + size / 2 - 4) * middle;
        hash += eight_at(from + size - 8) * last;
    } else if (size >= 4) {
        hash += four_at(from) * first;
        hash += four_at(from + size - 4) * last;
    } else if (size > 0) {
        hash += (unsigned char)from[0] * first;
        hash += (unsigned char)from[size / 2] * middle;
        hash += (unsigned char)from[size - 1] * last;
    }
    return hash;
}

/* What tells most texts of one place from one another, without a look at them. */
static inline uint32_t
sign_of(uint64_t hash, size_t size)
{
    return ((uint32_t)(hash >> 24) & ~(uint32_t)0xFF) | (uint32_t)size;
}

static PyObject *
new_text(const char *from, size_t size)
{
    PyObject *text = PyUnicode_FromStringAndSize(from, (Py_ssize_t)size);

    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return text;
}

/* Whether as many bytes are the same; most are few, for which a call would take longer. */
static inline int
is_same(const char *these, const char *those, size_t size)
{
    if (size >= 8) {
        for (size_t at = 0; at + 8 < size; at += 8)
            if (eight_at(these + at) != eight_at(those + at))
                return 0;
        return eight_at(these + size - 8) == eight_at(those + size - 8);
    }
    if (size >= 4)
        return four_at(these) == four_at(those) &&
               four_at(these + size - 4) == four_at(those + size - 4);
    for (size_t at = 0; at < size; at++)
        if (these[at] != those[at])
            return 0;
    return 1;
}

static inline int
holds(const Known *place, uint32_t sign, const char *from, size_t size)
{
    return place->sign == sign && place->text != NULL && is_same(place->bytes, from, size);
}

/* Make a text, which takes one of its two places; NULL without success. */
static Known *
remember(Known *places, uint32_t sign, const char *from, size_t size)
{
    Known *place = places + (places->turn & 1);
    PyObject *text = new_text(from, size);
    Py_ssize_t same_size;

    if (text == NULL)
        return NULL;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &same_size);
    if (bytes == NULL) {
        Py_DECREF(text);
        return NULL;
    }
    PyObject *before = place->text;
    place->text = text;
    place->bytes = bytes;
    place->sign = sign;
    place->next = NULL;
    places->turn++;
    Py_XDECREF(before);
    return place;
}

/* The place that holds a text, now if it did not before; NULL without success. */
static inline Known *
place_of(Known *known, const char *from, size_t size)
{
    uint64_t hash = hash_of(from, size);
    uint32_t sign = sign_of(hash, size);
    Known *places = &known[hash >> (64 - KNOWN_BITS) & ~(uint64_t)1];

    if (holds(places, sign, from, size))
        return places;
    if (holds(places + 1, sign, from, size))
        return places + 1;
    return remember(places, sign, from, size);
}

static inline PyObject *
known_text(Known *known, const char *from, size_t size)
{
    Known *place = place_of(known, from, size);

    return place != NULL ? Py_NewRef(place->text) : NULL;
}

/* Four hexadecimal digits, or -1. */
static int32_t
hex_at(const char *from)
{
    int32_t code = 0;

    for (int place = 0; place < 4; place++) {
        char digit = from[place];
        if (digit >= '0' && digit <= '9')
            code = code << 4 | (digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            code = code << 4 | (digit - 'a' + 10);
        else if (digit >= 'A' && digit <= 'F')
            code = code << 4 | (digit - 'A' + 10);
        else
            return -1;
    }
    return code;
}

static char *
write_utf8(char *to, int32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

/* The digits behind \\u, and the other half of a pair; NULL for half a pair and other digits. */
static const char *
unescape_code(const char *at, const char *last, char **to)
{
    int32_t code = last - at >= 4 ? hex_at(at) : -1;

    if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF))
        return NULL;
    at += 4;
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (last - at < 7 || memcmp(at, "\\\\u", 3) != 0)
            return NULL;
        int32_t low = hex_at(at + 3);
        if (low < 0xDC00 || low > 0xDFFF)
            return NULL;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        at += 7;
    }
    *to = write_utf8(*to, code);
    return at;
}

/* What stands behind the two backslashes of an escape; NULL for what is no escape. */
static const char *
unescape(const char *at, const char *last, char **to)
{
    char letter = at < last ? *at++ : '\0';

    switch (letter) {
    case 'b': letter = '\b'; break;
    case 'f': letter = '\f'; break;
    case 'n': letter = '\n'; break;
    case 'r': letter = '\r'; break;
    case 't': letter = '\t'; break;
    case '/': break;
    case '\\': /* a quotation mark or a backslash, with the one that the envelope puts before it */
        if (at == last || (*at != '"' && *at != '\\'))
            return NULL;
        letter = *at++;
        break;
    case 'u': return unescape_code(at, last, to);
    default: return NULL;
    }
    *(*to)++ = letter;
    return at;
}

/* Find the quotation mark that ends a text, going over its escapes; NULL if there is none. */
static const char *
find_quote(const char *at, const char *end)
{
    for (;;) {
        at = find_special(at, end);
        if (end - at < 2 || *at != '\\')
            return NULL;
        if (at[1] == '"')
            return at;
        if (at[1] != '\\')
            return NULL;
        at += 2;
        if (end - at >= 2 && *at == '\\')
            at += 2;
    }
}

/* Read a text that has escapes, each of which is longer than what it stands for. */
static int
read_escaped(Input *in, Span *span)
{
    const char *at = in->at;
    const char *last = find_quote(at, in->end);
    char *start = in->on_stack;

    if (last == NULL)
        return 0;
    if (last - at > ON_STACK) {
        start = span->allocated = PyMem_Malloc((size_t)(last - at));
        if (start == NULL) {
            PyErr_NoMemory();
            return 0;
        }
    }
    char *to = start;
    while (at < last) {
        const char *special = find_special(at, last);
        memcpy(to, at, (size_t)(special - at));
        to += special - at;
        at = special;
        if (at == last)
            break;
        at = unescape(at + 2, last, &to); /* find_quote has seen two backslashes here */
        if (at == NULL)
            return 0;
    }
    span->from = start;
    span->size = (size_t)(to - start);
    in->at = last + 2;
    return 1;
}

/* Go behind the end of a text without escapes; 0, without a step, if it is none. */
static inline int
find_end(Input *in)
{
    const char *special = find_special(in->at, in->end);

    if (in->end - special < 2 || special[0] != '\\' || special[1] != '"')
        return 0;
    in->at = special + 2;
    return 1;
}

/* Read a text from behind its first quotation mark; to be released, also without success. */
static inline int
read_span(Input *in, Span *span)
{
    const char *from = in->at;

    *span = (Span){from, 0, NULL};
    if (!find_end(in))
        return read_escaped(in, span);
    span->size = (size_t)(in->at - 2 - from);
    return 1;
}

static inline void
release(Span *span)
{
    if (span->allocated != NULL)
        PyMem_Free(span->allocated);
}

/* Read a text that has escapes. */
static PyObject *
read_escaped_text(Input *in)
{
    PyObject *text = NULL;
    Span span = {NULL, 0, NULL};

    if (read_escaped(in, &span))
        text = new_text(span.from, span.size);
    release(&span);
    return text;
}

/* The name that followed on the last one before, if it does again; else NULL. */
static inline PyObject *
guess_name(Input *in)
{
    Known *guess = in->last_name->next;

    if (guess == NULL || guess->text == NULL)
        return NULL;
    const char *at = in->at;
    size_t size = guess->sign & 0xFF;
    if ((size_t)(in->end - at) < size + 2 || at[size] != '\\' || at[size + 1] != '"' ||
        !is_same(guess->bytes, at, size))
        return NULL;
    in->at += size + 2;
    in->last_name = guess;
    return Py_NewRef(guess->text);
}

static inline PyObject *
read_name(Input *in)
{
    if (!take_quote(in))
        return NULL;
    const char *from = in->at;
    PyObject *name = guess_name(in);
    if (name != NULL)
        return name;
    if (!find_end(in))
        return read_escaped_text(in);
    size_t size = (size_t)(in->at - 2 - from);
    if (size > LONGEST_NAME)
        return new_text(from, size);
    Known *place = place_of(in->memory->names, from, size);
    if (place == NULL)
        return NULL;
    in->last_name->next = place;
    in->last_name = place;
    return Py_NewRef(place->text);
}

static inline PyObject *
read_text(Input *in)
{
    if (!take_quote(in))
        return NULL;
    const char *from = in->at;
    if (!find_end(in))
        return read_escaped_text(in);
    size_t size = (size_t)(in->at - 2 - from);
    if (size > LONGEST_VALUE)
        return new_text(from, size);
    return known_text(in->memory->values, from, size);
}

static inline int
is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static int
skip_digits(Input *in)
{
    const char *first = in->at;

    while (is_digit(next_byte(in)))
        in->at++;
    return in->at > first;
}

/* Read a float, of which its integer part was read. */
static PyObject *
read_float(Input *in, const char *start)
{
    char *end;

    if (take_byte(in, '.') && !skip_digits(in))
        return NULL;
    if (next_byte(in) == 'e' || next_byte(in) == 'E') {
        in->at++;
        if (next_byte(in) == '+' || next_byte(in) == '-')
            in->at++;
        if (!skip_digits(in))
            return NULL;
    }
    if (in->at == in->end) /* it needs a byte that ends it */
        return NULL;
    double value = PyOS_string_to_double(start, &end, NULL);
    if (value == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_ValueError))
            PyErr_Clear();
        return NULL;
    }
    if (end != in->at || value - value != 0.0) /* infinite: Python's json says what it means */
        return NULL;
    return PyFloat_FromDouble(value);
}

static PyObject *
read_number(Input *in)
{
    const char *start = in->at;
    int negative = take_byte(in, '-');
    const char *first = in->at;
    unsigned long long number = 0;

    if (!take_byte(in, '0')) { /* nothing else begins with a zero */
        while (is_digit(next_byte(in)))
            number = number * 10 + (unsigned long long)(*in->at++ - '0');
        if (in->at == first)
            return NULL;
    }
    char after = next_byte(in);
    if (after == '.' || after == 'e' || after == 'E')
        return read_float(in, start);
    if (in->at - first > MOST_DIGITS)
        return NULL;
    return PyLong_FromLongLong(negative ? -(long long)number : (long long)number);
}

static PyObject *read_value(Input *in, int depth);

/* A name, a colon and a value; 0 without success. */
static inline int
read_member(Input *in, PyObject *members, int depth)
{
    int is_set = 0;
    PyObject *value = NULL;
    PyObject *name = read_name(in);

    if (name == NULL)
        return 0;
    skip_spaces(in);
    if (take_byte(in, ':')) {
        skip_spaces(in);
        value = read_value(in, depth);
    }
    if (value != NULL) {
        is_set = PyDict_SetItem(members, name, value) == 0;
        Py_DECREF(value);
    }
    Py_DECREF(name);
    return is_set;
}

static PyObject *
read_object(Input *in, int depth)
{
    PyObject *members = PyDict_New();

    if (members == NULL)
        return NULL;
    skip_spaces(in);
    if (take_byte(in, '}'))
        return members;
    while (read_member(in, members, depth)) {
        skip_spaces(in);
        if (take_byte(in, '}'))
            return members;
        if (!take_byte(in, ','))
            break;
        skip_spaces(in);
    }
    Py_DECREF(members);
    return NULL;
}

static inline int
read_part(Input *in, PyObject *parts, int depth)
{
    PyObject *part = read_value(in, depth);

    if (part == NULL)
        return 0;
    int is_there = PyList_Append(parts, part) == 0;
    Py_DECREF(part);
    return is_there;
}

static PyObject *
read_array(Input *in, int depth)
{
    PyObject *parts = PyList_New(0);

    if (parts == NULL)
        return NULL;
    skip_spaces(in);
    if (take_byte(in, ']'))
        return parts;
    while (read_part(in, parts, depth)) {
        skip_spaces(in);
        if (take_byte(in, ']'))
            return parts;
        if (!take_byte(in, ','))
            break;
        skip_spaces(in);
    }
    Py_DECREF(parts);
    return NULL;
}

/* One value; ``depth`` is the level of what it stands in. */
static PyObject *
read_value(Input *in, int depth)
{
    switch (next_byte(in)) {
    case '\\': return read_text(in);
    case 'n': return take(in, "null", 4) ? Py_NewRef(Py_None) : NULL;
    case 't': return take(in, "true", 4) ? Py_NewRef(Py_True) : NULL;
    case 'f': return take(in, "false", 5) ? Py_NewRef(Py_False) : NULL;
    case '{':
        in->at++;
        return depth < DEEPEST ? read_object(in, depth + 1) : NULL;
    case '[':
        in->at++;
        return depth < DEEPEST ? read_array(in, depth + 1) : NULL;
    default: return read_number(in);
    }
}

/* The field of this name, or FIELDS. */
static inline int
field_of(const Span *name)
{
    int field = 0;

    while (field < FIELDS && (WIRE[field].size != name->size ||
                              memcmp(WIRE[field].name, name->from, name->size) != 0))
        field++;
    return field;
}

/* Read the name of a field; -1 without success. Names that are none have to be texts, too. */
static int
read_field_name(Input *in)
{
    int field = -1;
    Span span;

    if (!take_quote(in))
        return -1;
    if (read_span(in, &span)) {
        field = field_of(&span);
        if (field == FIELDS) {
            PyObject *name = new_text(span.from, span.size); /* for a look at its UTF-8 */
            if (name == NULL)
                field = -1;
            Py_XDECREF(name);
        }
    }
    release(&span);
    return field;
}

/* One field, the last of its name counts. What is none is read, to be checked, and dropped. */
static int
read_field(Input *in, PyObject **fields)
{
    int field = read_field_name(in);

    if (field < 0)
        return 0;
    skip_spaces(in);
    if (!take_byte(in, ':'))
        return 0;
    skip_spaces(in);
    PyObject *value = read_value(in, 1);
    if (value == NULL)
        return 0;
    if (field == FIELDS) {
        Py_DECREF(value);
        return 1;
    }
    PyObject *before = fields[field];
    fields[field] = value;
    Py_XDECREF(before);
    return 1;
}

/* The notification, as a text of the envelope. */
static int
read_message(Input *in, PyObject **fields)
{
    if (!take_byte(in, '"'))
        return 0;
    skip_spaces(in);
    if (!take_byte(in, '{'))
        return 0;
    skip_spaces(in);
    while (read_field(in, fields)) {
        skip_spaces(in);
        if (take_byte(in, '}')) {
            skip_spaces(in);
            return take_byte(in, '"');
        }
        if (!take_byte(in, ','))
            return 0;
        skip_spaces(in);
    }
    return 0;
}

static int
take_outer_colon(Input *in)
{
    skip_outer_space(in);
    if (!take_byte(in, ':'))
        return 0;
    skip_outer_space(in);
    return 1;
}

static int
read_version(Input *in)
{
    return take_outer_colon(in) && take(in, OUR_VERSION, sizeof OUR_VERSION - 1);
}

/* The version and the message, once each in either order, and nothing else. */
static int
read_envelope(Input *in, PyObject **fields)
{
    int has_version = 0, has_message = 0;

    skip_outer_space(in);
    if (!take_byte(in, '{'))
        return 0;
    for (;;) {
        skip_outer_space(in);
        if (!has_version && take(in, VERSION, sizeof VERSION - 1)) {
            if (!read_version(in))
                return 0;
            has_version = 1;
        } else if (!has_message && take(in, MESSAGE, sizeof MESSAGE - 1)) {
            if (!take_outer_colon(in) || !read_message(in, fields))
                return 0;
            has_message = 1;
        } else {
            return 0;
        }
        skip_outer_space(in);
        if (has_version && has_message)
            break;
        if (!take_byte(in, ','))
            return 0;
    }
    if (!take_byte(in, '}'))
        return 0;
    skip_outer_space(in);
    return in->at == in->end;
}

static int
is_priority(const char *small, size_t size)
{
    for (size_t at = 0; at < sizeof PRIORITIES / sizeof *PRIORITIES; at++)
        if (strlen(PRIORITIES[at]) == size && memcmp(PRIORITIES[at], small, size) == 0)
            return 1;
    return 0;
}

/* Put the priority in small letters in its place; 0 if it is none. */
static int
settle_priority(Memory *memory, PyObject **fields)
{
    char small[LONGEST_PRIORITY];
    Py_ssize_t size;

    if (fields[PRIORITY] == NULL || Py_TYPE(fields[PRIORITY]) != &PyUnicode_Type)
        return 0;
    const char *given = PyUnicode_AsUTF8AndSize(fields[PRIORITY], &size);
    if (given == NULL || size > LONGEST_PRIORITY)
        return 0;
    for (Py_ssize_t at = 0; at < size; at++)
        small[at] = given[at] >= 'A' && given[at] <= 'Z' ? (char)(given[at] | 0x20) : given[at];
    if (!is_priority(small, (size_t)size))
        return 0;
    Py_DECREF(fields[PRIORITY]);
    fields[PRIORITY] = known_text(memory->values, small, (size_t)size);
    return fields[PRIORITY] != NULL;
}

/* Put a dict in the place of what is no context, and None in that of what is missing. */
static int
settle_others(PyObject **fields)
{
    if (fields[CONTEXT] == NULL || Py_TYPE(fields[CONTEXT]) != &PyDict_Type) {
        Py_XDECREF(fields[CONTEXT]);
        fields[CONTEXT] = PyDict_New();
        if (fields[CONTEXT] == NULL)
            return 0;
    }
    for (int field = 0; field < FIELDS; field++)
        if (fields[field] == NULL)
            fields[field] = Py_NewRef(Py_None);
    return 1;
}

/* The fields, as a tuple that takes them over. */
static PyObject *
tuple_of(PyObject **fields)
{
    PyObject *all = PyTuple_New(FIELDS);

    for (int field = 0; all != NULL && field < FIELDS; field++) {
        PyTuple_SetItem(all, field, fields[field]);
        fields[field] = NULL;
    }
    return all;
}

static PyObject *
decode_plain(PyObject *module, PyObject *value)
{
    PyObject *fields[FIELDS] = {NULL};
    PyObject *notification = NULL;
    char *start;
    Py_ssize_t size;
    Input in;

    if (Py_TYPE(value) != &PyBytes_Type)
        return Py_NewRef(Py_None);
    if (PyBytes_AsStringAndSize(value, &start, &size) < 0)
        return NULL;
    in.at = start;
    in.end = start + size;
    in.memory = PyModule_GetState(module);
    if (in.memory == NULL) /* the module was made, but never executed */
        return Py_NewRef(Py_None);
    in.last_name = &in.memory->before_all;
    if (read_envelope(&in, fields) && settle_priority(in.memory, fields) && settle_others(fields))
        notification = tuple_of(fields);
    for (int field = 0; field < FIELDS; field++)
        Py_XDECREF(fields[field]);
    if (notification == NULL && !PyErr_Occurred())
        return Py_NewRef(Py_None);
    return notification;
}

static void
forget(Known *known)
{
    for (size_t at = 0; at < (size_t)1 << KNOWN_BITS; at++)
        Py_CLEAR(known[at].text);
}

static void
forget_all(void *module)
{
    Memory *memory = PyModule_GetState(module);

    if (memory != NULL) {
        forget(memory->names);
        forget(memory->values);
    }
}

static PyMethodDef METHODS[] = {
    {"decode_plain", decode_plain, METH_O,
     PyDoc_STR("decode_plain(value, /)\n--\n\n"
               "Return the fields of the Notification in a record's value, in their order.\n\n"
               "None if it is anything but an envelope of version 2.0 around JSON that means the\n"
               "same to all readers, with a priority that is one.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kafka_notify.core._decoder",
    .m_doc = PyDoc_STR("Record values to plain notifications, in one pass."),
    .m_size = sizeof(Memory), /* zeros at first */
    .m_methods = METHODS,
    .m_slots = SLOTS,
    .m_free = forget_all,
};

PyMODINIT_FUNC
PyInit__decoder(void)
{
    return PyModuleDef_Init(&MODULE);
}
