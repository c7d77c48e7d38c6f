# C types of the functions and constants of `json_tokenizer.py`.
cimport cython
from libc.stdint cimport int32_t, int64_t

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

cdef inline Py_ssize_t _plain_string(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t, first=Py_ssize_t)
cdef Py_ssize_t _number(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t, dot=Py_ssize_t, last=Py_ssize_t, is_negative_zero=bint)
cdef inline Py_ssize_t _plain_end(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(byte=int)
cdef inline Py_ssize_t _scalar(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

cdef inline Py_ssize_t _write_name(
    const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end, Py_ssize_t count, int64_t[:, ::1] values,
) noexcept

@cython.locals(byte=int, plain_end=Py_ssize_t)
cdef inline Py_ssize_t _write_scalar(
    const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end, Py_ssize_t count, int64_t[:, ::1] values,
) noexcept

@cython.locals(holder=Py_ssize_t, depth=int, byte=int, is_open=bint)
cdef Py_ssize_t _split_text(
    const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end, Py_ssize_t row, Py_ssize_t count,
    int64_t[:, ::1] values,
) noexcept

@cython.locals(row=Py_ssize_t, count=Py_ssize_t, reached=Py_ssize_t)
cpdef split_texts(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends,
    int64_t[:, ::1] values, unsigned char[::1] is_regular,
)

@cython.locals(i=Py_ssize_t, holder=Py_ssize_t, other=Py_ssize_t)
cpdef find_repeated(
    const int64_t[:, ::1] values, const int32_t[::1] numbers, int64_t[::1] latest, int64_t[::1] earlier,
    unsigned char[::1] is_regular,
)

cdef bint _is_mark(int byte) noexcept

@cython.locals(
    row=Py_ssize_t, count=Py_ssize_t, place=Py_ssize_t, end=Py_ssize_t, following=Py_ssize_t, quote=Py_ssize_t,
)
cpdef drop_blanks(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends,
    unsigned char[::1] written, int64_t[::1] written_ends,
)
