# The types of what `json_loops.py` works with.
cimport cython
from libc.stdint cimport int64_t, uint64_t

cdef int _BLANK, _TAB, _LINE, _RETURN, _QUOTE, _BACKSLASH, _COLON, _COMMA, _BRACE, _BRACE_END, _BRACKET, _BRACKET_END
cdef int _DASH, _DOT, _PLUS, _ZERO, _U, _E, _LETTER_A, _LETTER_T, _LETTER_F, _LETTER_N, _LOWER, _DEEPEST, _SURE_DIGITS
cdef const unsigned char[::1] _TRUE, _FALSE, _NULL, _ESCAPES

cdef Py_ssize_t _blanks(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(i=Py_ssize_t)
cdef bint _stands_at(
    const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end, const unsigned char[::1] text,
) noexcept

cdef bint _is_digit(int byte) noexcept

cdef Py_ssize_t _digits(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(i=Py_ssize_t)
cdef bint _is_escape(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

cdef Py_ssize_t _string(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t, byte=int)
cdef bint _is_code_point(const unsigned char[::1] buffer, Py_ssize_t start) noexcept

@cython.locals(place=Py_ssize_t)
cdef bint _has_escape(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t, first=Py_ssize_t)
cdef Py_ssize_t _number(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t, dot=Py_ssize_t, last=Py_ssize_t, is_negative_zero=bint)
cdef Py_ssize_t _plain_end(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(byte=int)
cdef Py_ssize_t _scalar(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

cdef Py_ssize_t _value_of_member(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(byte=int, depth=int, objects=uint64_t, is_open=bint)
cdef Py_ssize_t _structure(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(
    byte=int, kind=int, name=Py_ssize_t, name_end=Py_ssize_t, start=Py_ssize_t, value_end=Py_ssize_t,
)
cdef Py_ssize_t _split_object(
    const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end, Py_ssize_t row, Py_ssize_t count,
    int64_t[:, ::1] members,
) noexcept

@cython.locals(row=Py_ssize_t, count=Py_ssize_t, reached=Py_ssize_t)
cpdef split_objects(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends,
    int64_t[:, ::1] members, unsigned char[::1] is_regular,
)

@cython.locals(i=Py_ssize_t)
cpdef find_repeated(
    const int64_t[::1] rows, const int64_t[::1] numbers, int64_t[::1] seen, unsigned char[::1] is_regular,
)
